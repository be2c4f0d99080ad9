"""Microphones: a sound card that jitters, drifts, overflows and is unplugged; sound files."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile

from fusion_pipeline.messages import AudioChunk
from fusion_pipeline.sensors import microphone as module
from fusion_pipeline.sensors.device_clock import DeviceClock
from fusion_pipeline.sensors.microphone import Microphone, MicrophoneConfig
from fusion_pipeline.sensors.retry import Patience, SetupError
from fusion_pipeline.sensors.sound_file import SoundFile
from nodes.microphone import Microphone as Node


class FakeSound:
    """The sounddevice module with one input. `blocks` says of each chunk what happens."""

    class PortAudioError(Exception):
        """As sounddevice's."""

    def __init__(self) -> None:
        self.plugged = True
        self.blocks: list[str] = []
        outer = self

        class InputStream:
            def __init__(self, samplerate: int, blocksize: int, channels: int, callback: Any, **_: object) -> None:
                if not outer.plugged:
                    raise outer.PortAudioError("Error querying device -1")
                self.active, self._args = True, (samplerate, blocksize, channels, callback)

            def __enter__(self) -> Any:
                threading.Thread(target=self._run, daemon=True).start()
                return self

            def __exit__(self, *_: object) -> None:
                self.active = False

            def _run(self) -> None:
                rate, block, channels, callback = self._args
                while self.active and outer.blocks:
                    what = outer.blocks.pop(0)
                    time.sleep(0.002)
                    pcm = np.full((block, channels), 7, np.int16)
                    stamps = SimpleNamespace(currentTime=100.0, inputBufferAdcTime=100.0 - block / rate)
                    callback(pcm, block, stamps, SimpleNamespace(input_overflow=what == "overflow"))
                self.active = False

        self.InputStream = InputStream


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> FakeSound:
    fake = FakeSound()
    monkeypatch.setitem(sys.modules, "sounddevice", fake)  # type: ignore[arg-type]
    monkeypatch.setattr(module, "Patience", lambda silence_s: Patience(silence_s, first_s=0.05, longest_s=0.1))
    return fake


def heard(config: MicrophoneConfig, count: int, told: list[tuple[str, str]]) -> tuple[list[AudioChunk], Microphone]:
    """The first chunks of a driver."""
    driver, stop = Microphone(config, lambda *said: told.append(said)), threading.Event()
    driver.prepare()
    chunks = []
    for chunk in driver.messages(stop):
        chunks.append(chunk)
        if len(chunks) == count:
            stop.set()
    return chunks, driver


def test_chunks_have_even_stamps(card: FakeSound) -> None:
    card.blocks = ["chunk"] * 20
    chunks, _ = heard(MicrophoneConfig(chunk_ms=2, channels=3), 20, [])
    steps = np.diff([chunk.header.capture_ns for chunk in chunks])
    assert chunks[0].pcm.shape == (32, 3)
    assert np.abs(steps - 2_000_000).max() <= 2_000  # 500 ppm of 2 ms, whatever the arrivals' jitter


def test_a_card_that_is_fast_or_slow_is_followed() -> None:
    for ppm in (-200, 200):
        clock, rng = DeviceClock(module.DRIFT_PPM, module.DRIFT_PPM, module.JUMP_NS), np.random.default_rng(1)
        errors = []
        for k in range(6000):
            device_ns = k * 20_000_000
            true_ns = 10**18 + device_ns + device_ns * ppm // 10**6
            clock.observe(device_ns, true_ns + int(rng.normal(0, 1e6)))
            errors.append(clock.vehicle_ns(device_ns) - true_ns)
        assert np.abs(errors[1000:]).max() < 2e6  # after two minutes the drift alone would be 24 ms
        assert np.abs(np.diff(errors)).max() < 20_000


def test_an_overflow_is_counted(card: FakeSound) -> None:
    card.blocks = ["chunk", "chunk", "overflow", "chunk"]
    chunks, driver = heard(MicrophoneConfig(chunk_ms=2), 4, [])
    assert driver.counts == {"lost: overflow in the sound card": 1}
    assert (np.diff([chunk.header.capture_ns for chunk in chunks]) > 0).all()


def test_a_card_that_is_unplugged_is_told_and_comes_back(card: FakeSound) -> None:
    card.blocks = ["chunk"] * 3
    told: list[tuple[str, str]] = []

    def plug_in() -> None:
        card.blocks, card.plugged = ["chunk"] * 3, True

    def unplug() -> None:
        card.plugged = False
        threading.Timer(0.3, plug_in).start()

    threading.Timer(0.15, unplug).start()
    chunks, _ = heard(MicrophoneConfig(chunk_ms=2), 6, told)
    assert len(chunks) == 6
    details = [detail for state, detail in told if state == "degraded"]
    assert any("has stopped" in detail for detail in details)
    assert any("python -m sounddevice" in detail for detail in details)
    assert told[-1][0] == "ready"


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(SetupError, match=r"fusion-pipeline\[live\]"):
        Microphone(MicrophoneConfig(), lambda *_: None).prepare()


def write(path: Path, channels: int = 4, rate: int = 16_000, seconds: float = 0.1) -> Any:
    """A sound file of a ramp; its samples."""
    count = round(rate * seconds)
    pcm = np.arange(count * channels, dtype=np.int16).reshape(count, channels)
    soundfile.write(path, pcm, rate, subtype="PCM_16")
    return pcm


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_a_file_sounds_sample_by_sample(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"sound{suffix}"
    pcm = write(path, seconds=0.11)
    driver = SoundFile(MicrophoneConfig(str(path), real_time=False), lambda *_: None)
    driver.prepare()
    chunks = list(driver.messages(threading.Event()))
    np.testing.assert_array_equal(np.concatenate([chunk.pcm for chunk in chunks]), pcm)
    assert [len(chunk.pcm) for chunk in chunks] == [320] * 5 + [160]
    assert set(np.diff([chunk.header.capture_ns for chunk in chunks])) == {20_000_000}


def test_a_file_loops_without_a_gap_in_time_and_stops(tmp_path: Path) -> None:
    write(tmp_path / "short.wav", channels=1, seconds=0.03)
    node = Node(MicrophoneConfig(str(tmp_path / "short.wav"), channels=0, rate_hz=0, loop=True), "microphone")
    node.open()
    stop, chunks = threading.Event(), []
    for chunk in node.messages(stop):
        assert isinstance(chunk, AudioChunk)
        chunks.append(chunk)
        if len(chunks) == 6:
            stop.set()
    ends = [chunk.end_ns for chunk in chunks[:-1]]
    assert np.abs(np.asarray(ends) - [chunk.header.capture_ns for chunk in chunks[1:]]).max() <= 1


def test_a_file_that_does_not_fit_is_told(tmp_path: Path) -> None:
    write(tmp_path / "two.wav", channels=2)
    (tmp_path / "noise.wav").write_bytes(b"RIFF and nothing more")
    cases = (
        ("two.wav", 4, 16_000, "has channels 2, not 4"), ("two.wav", 2, 48_000, "has rate_hz 16000, not 48000"),
        ("noise.wav", 4, 16_000, "no sound file"),
    )  # fmt: skip
    for name, channels, rate_hz, said in cases:
        with pytest.raises(SetupError, match=said):
            SoundFile(MicrophoneConfig(str(tmp_path / name), "roof", channels, rate_hz), lambda *_: None).prepare()
