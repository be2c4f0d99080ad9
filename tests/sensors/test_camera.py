"""Cameras: folders, videos, and live devices that fail, block and come back."""

from __future__ import annotations

import threading
import time
from collections import deque
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from fusion_pipeline.sensors import camera as module
from fusion_pipeline.sensors.camera import Camera, CameraConfig
from fusion_pipeline.sensors.retry import SetupError


def opened(config: CameraConfig, told: list[tuple[str, str]] | None = None) -> Camera:
    """A prepared driver."""
    driver = Camera(config, lambda state, detail: (told if told is not None else []).append((state, detail)))
    driver.prepare()
    return driver


def picture(number: int) -> Any:
    """A smooth picture that tells its number."""
    return np.full((48, 64, 3), 10 * number, np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five pictures: PNG, JPEG, BMP, one that is cut off, one that is empty."""
    for number, suffix in enumerate((".png", ".jpg", ".bmp")):
        cv2.imwrite(str(tmp_path / f"{number}{suffix}"), picture(number))
    (tmp_path / "3.png").write_bytes((tmp_path / "0.png").read_bytes()[:40])
    (tmp_path / "4.jpg").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


def test_a_folder_is_played_evenly_and_compressed_files_stay_as_they_are(folder: Path) -> None:
    driver = opened(CameraConfig(str(folder), rate_hz=20, delay_ms=5, real_time=False))
    frames = list(driver.messages(threading.Event()))
    assert [frame.encoding for frame in frames] == ["png", "jpeg", "bgr8"]
    assert frames[1].data.tobytes() == (folder / "1.jpg").read_bytes()
    np.testing.assert_array_equal(frames[2].data, picture(2))
    assert {(frame.height_px, frame.width_px) for frame in frames} == {(48, 64)}
    stamps = [frame.header.capture_ns for frame in frames]
    assert np.diff(stamps).tolist() == [50_000_000, 50_000_000]
    assert frames[0].header.arrival_ns - stamps[0] == 5_000_000
    assert driver.counts == {"refused: neither a PNG nor a JPEG picture": 1, "refused: truncated png picture": 1}


def test_a_loop_goes_on_in_time(folder: Path) -> None:
    driver = opened(CameraConfig(str(folder), rate_hz=100, loop=True, real_time=False))
    frames = list(islice(driver.messages(threading.Event()), 7))
    steps = np.diff([frame.header.capture_ns for frame in frames]) / 1e6
    assert steps.tolist() == [10, 10, 30, 10, 10, 30]  # two of five cannot be read


def test_real_time_and_stop(folder: Path) -> None:
    driver, stop = opened(CameraConfig(str(folder), rate_hz=1, loop=True)), threading.Event()
    frames = driver.messages(stop)
    first = next(frames)
    assert first.header.capture_ns <= time.time_ns()
    threading.Timer(0.1, stop.set).start()
    began = time.monotonic()
    assert list(frames) == []
    assert time.monotonic() - began < 5  # not a whole period times the number of pictures


def test_a_folder_without_pictures_is_told(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="holds no picture"):
        opened(CameraConfig(str(tmp_path)))


def test_video_files_have_their_own_pace(tmp_path: Path) -> None:
    path = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 48))
    for number in range(6):
        writer.write(picture(4 * number))
    writer.release()
    frames = list(opened(CameraConfig(str(path), real_time=False)).messages(threading.Event()))
    assert len(frames) == 6
    assert set(np.diff([frame.header.capture_ns for frame in frames])) == {40_000_000}
    assert abs(float(frames[5].data.mean()) - 200) < 4
    path.write_bytes(b"no film at all")
    with pytest.raises(SetupError, match="no video"):
        list(opened(CameraConfig(str(path))).messages(threading.Event()))


class FakeCapture:
    """A V4L2 device: plugged in or not, giving pictures, failing, or hanging."""

    plugged = True
    script: deque[str]  # of "picture", "fail", "hang"
    hanging: threading.Event
    age_s = 0.03

    def __init__(self, *_: object) -> None:
        self.released = False

    def isOpened(self) -> bool:
        return self.plugged

    def getBackendName(self) -> str:
        return "V4L2"

    def get(self, key: int) -> float:
        assert key == cv2.CAP_PROP_POS_MSEC
        return (time.monotonic() - self.age_s) * 1000

    def set(self, key: int, value: float) -> bool:
        return True

    def read(self) -> tuple[bool, Any]:
        time.sleep(0.01)
        what = self.script.popleft() if self.script else "fail"
        if what == "hang":
            self.hanging.wait(20)
        return what == "picture", picture(1)

    def release(self) -> None:
        self.released = True


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> type[FakeCapture]:
    class Capture(FakeCapture):
        pass

    Capture.script, Capture.hanging = deque(["picture"] * 3), threading.Event()
    monkeypatch.setattr(cv2, "VideoCapture", Capture)
    monkeypatch.setattr(module, "Patience", lambda silence_s: module_patience(silence_s))
    return Capture


def module_patience(silence_s: float) -> Any:
    """Quick tries."""
    from fusion_pipeline.sensors.retry import Patience

    return Patience(silence_s, first_s=0.05, longest_s=0.1)


def test_the_device_s_own_stamp_and_the_delay_are_used(device: type[FakeCapture]) -> None:
    frame = next(iter(opened(CameraConfig("/dev/video7", delay_ms=20)).messages(threading.Event())))
    age_ms = (frame.header.arrival_ns - frame.header.capture_ns) / 1e6
    assert 49 <= age_ms < 2000


def test_an_unplugged_device_is_told_and_comes_back(device: type[FakeCapture]) -> None:
    told: list[tuple[str, str]] = []
    stop = threading.Event()
    frames = opened(CameraConfig("/dev/video7"), told).messages(stop)
    device.script.extend(["fail"])
    for _ in range(3):
        next(frames)
    device.plugged = False
    threading.Timer(0.4, lambda: (device.script.extend(["picture"] * 50), setattr(device, "plugged", True))).start()
    next(frames)
    states = [state for state, _ in told]
    assert states[0] == "ready"
    assert states[-1] == "ready"
    details = " ".join(detail for state, detail in told if state == "degraded")
    assert "no more pictures" in details
    assert "is it plugged in" in details
    assert "next try in" in details
    stop.set()


def test_a_read_that_never_returns_holds_up_neither_stop_nor_retry(device: type[FakeCapture]) -> None:
    told: list[tuple[str, str]] = []
    device.script = deque(["picture", "hang"])
    stop = threading.Event()
    frames = opened(CameraConfig("/dev/video7", silence_s=0.3), told).messages(stop)
    next(frames)
    threading.Timer(1.0, stop.set).start()
    assert list(frames) == []
    assert any("nothing for 0.3 s" in detail for _, detail in told)
    device.hanging.set()
