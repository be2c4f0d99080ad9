"""Picture files as cameras and programs write them: tails, orientation, depth."""

from __future__ import annotations

import struct
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from fusion_pipeline.encode.image import ImageError, decode
from fusion_pipeline.logs.picture_codec import raw_picture
from fusion_pipeline.logs.pictures import compressed_frame
from fusion_pipeline.logs.reader import FormError
from fusion_pipeline.messages import CameraFrame, Header
from fusion_pipeline.picture_file import PictureError, head_of, is_whole, pixels
from fusion_pipeline.sensors.camera import Camera, CameraConfig

HEADER = Header("camera/front", 0, 0)
HEIGHT, WIDTH = 40, 64


def stored() -> np.ndarray:
    """Bright at the top, red at the left."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([250 - 5 * y, 250 - 5 * y, 250 - 3 * x], axis=2).astype(np.uint8)


def packed(suffix: str = ".jpg", *flags: int, picture: np.ndarray | None = None) -> bytes:
    return cv2.imencode(suffix, stored() if picture is None else picture, list(flags))[1].tobytes()


def array(data: bytes) -> np.ndarray:
    return np.frombuffer(data, np.uint8)


def with_exif(data: bytes, orientation: int, thumbnail: bytes = b"") -> bytes:
    """A JPEG with an EXIF segment, as cameras write it (TIFF 6.0, one entry), and a preview in it."""
    tiff = struct.pack("<2sHIHHHIII", b"II", 42, 8, 1, 0x0112, 3, 1, orientation, 0) + thumbnail
    body = b"Exif\0\0" + tiff
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:]


PROGRESSIVE, RESTARTS = cv2.IMWRITE_JPEG_PROGRESSIVE, cv2.IMWRITE_JPEG_RST_INTERVAL
WHOLE = {
    "plain": packed(),
    "progressive": packed(".jpg", PROGRESSIVE, 1),
    "restarts": packed(".jpg", RESTARTS, 2),
    "grey": packed(picture=stored()[:, :, 0]),
    "thumbnail": with_exif(packed(), 1, packed(picture=stored()[::4, ::4].copy())),
    "png": packed(".png"),
    "grey png": packed(".png", picture=stored()[:, :, 0]),
    "png with alpha": packed(".png", picture=np.dstack([stored(), np.full((HEIGHT, WIDTH), 90, np.uint8)])),
    "16-bit png": packed(".png", picture=stored().astype(np.uint16) * 257),
    "16-bit grey png": packed(".png", picture=stored()[:, :, 0].astype(np.uint16) * 257),
}
TAILS = {
    "nothing": b"", "zeros": bytes(50_000), "metadata": b"\xff\xe1\x00\x10Exif" + b"vendor data " * 900,
    "a second picture": packed(picture=stored()[::2, ::2].copy()), "half a second picture": packed()[:300],
    "ones": b"\xff" * 5000,
}  # fmt: skip


@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("name", WHOLE)
def test_a_picture_with_something_behind_its_end_is_read_everywhere(tmp_path: Path, name: str, tail: str) -> None:
    data = array(WHOLE[name] + TAILS[tail])
    frame = compressed_frame(HEADER, data)
    assert (frame.height_px, frame.width_px) == (HEIGHT, WIDTH)
    wanted = np.repeat(stored()[:, :, :1], 3, axis=2) if "grey" in name else stored()
    raw = raw_picture(frame)
    assert raw is not None
    for picture in (pixels(data), decode(frame), raw.data):
        assert np.abs(picture.astype(int) - wanted).mean() < 6
    (tmp_path / "a.jpg").write_bytes(data.tobytes())  # PNG files too: what a file is, its bytes say
    camera = Camera(CameraConfig(str(tmp_path), real_time=False), lambda *_: None)
    (found,) = camera.messages(threading.Event())
    assert (found.encoding, found.height_px, found.width_px) == (frame.encoding, HEIGHT, WIDTH)
    assert not camera.counts


@pytest.mark.parametrize("name", WHOLE)
def test_one_that_is_cut_off_is_said_everywhere(tmp_path: Path, name: str) -> None:
    for data in (
        array(WHOLE[name][:-40]),
        array(WHOLE[name][: len(WHOLE[name]) * 2 // 3]),
        array(WHOLE[name][:-40] + bytes(9999)),
    ):
        head = head_of(data)
        assert not is_whole(data)
        with pytest.raises(FormError, match="truncated"):
            compressed_frame(HEADER, data)
        frame = CameraFrame(HEADER, *head, data)
        with pytest.raises(ImageError, match="truncated"):
            decode(frame)
        assert raw_picture(frame) is None
    (tmp_path / "a.png").write_bytes(data.tobytes())
    (tmp_path / "b.jpg").write_bytes(packed())
    camera = Camera(CameraConfig(str(tmp_path), real_time=False), lambda *_: None)
    assert len(list(camera.messages(threading.Event()))) == 1
    assert camera.counts == {f"refused: truncated {head.encoding} picture": 1}


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pixels_are_the_stored_ones_whatever_exif_asks_of_viewers(tmp_path: Path, orientation: int) -> None:
    data = array(with_exif(packed(), orientation))
    assert cv2.imdecode(data, cv2.IMREAD_COLOR).shape[0] == (WIDTH if orientation > 4 else HEIGHT)  # a viewer
    frame = compressed_frame(HEADER, data)
    raw = raw_picture(frame)
    assert raw is not None
    for picture in (pixels(data), decode(frame), raw.data):
        assert np.abs(picture.astype(int) - stored()).mean() < 6
    (tmp_path / "a.jpg").write_bytes(data.tobytes())
    (found,) = Camera(CameraConfig(str(tmp_path), real_time=False), lambda *_: None).messages(threading.Event())
    assert (found.height_px, found.width_px) == (HEIGHT, WIDTH)


def test_a_print_s_colours_are_brought_to_a_screen_s(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    image.fromarray(stored()[:, :, ::-1].copy()).convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    assert np.abs(pixels(np.fromfile(tmp_path / "a.jpg", np.uint8)).astype(int) - stored()).mean() < 12


@pytest.mark.parametrize(("at", "value", "says"), [
    (1, 0xC3, "lossless"), (1, 0xC5, "lossless or hierarchical"), (4, 12, "12 bits"),
])  # fmt: skip
def test_jpeg_of_other_kinds_is_refused_by_its_name(at: int, value: int, says: str) -> None:
    data = bytearray(packed())
    frame = data.index(b"\xff\xc0")
    data[frame + at] = value
    with pytest.raises(PictureError, match=says):
        pixels(array(bytes(data)))


def test_what_is_no_picture_is_said() -> None:
    for data in (b"", b"\xff\xd8", b"GIF89a" + bytes(100), packed()[:30], b"\x89PNG\r\n\x1a\n"):
        with pytest.raises(PictureError):
            head_of(array(data))


@pytest.mark.parametrize(("suffix", "at"), [(".png", 16), (".jpg", 0)])
def test_a_few_bytes_do_not_ask_for_gigabytes(suffix: str, at: int) -> None:
    data = bytearray(packed(suffix))
    at = at or data.index(b"\xff\xc0") + 5  # height, then width
    data[at : at + (8 if suffix == ".png" else 4)] = (
        struct.pack(">II", 16_000, 16_000) if suffix == ".png" else struct.pack(">HH", 16_000, 16_000)
    )
    with pytest.raises(PictureError, match="larger than its bytes can hold"):
        head_of(array(bytes(data)))


@pytest.mark.parametrize("flags", [(cv2.IMWRITE_PNG_COMPRESSION, 9), (cv2.IMWRITE_PNG_BILEVEL, 1)])
def test_black_pictures_are_no_claims(flags: tuple[int, int]) -> None:
    for suffix, picture in ((".png", np.zeros((3000, 3000), np.uint8)), (".jpg", np.zeros((3000, 3000), np.uint8))):
        data = packed(suffix, *(flags if suffix == ".png" else (PROGRESSIVE, 1)), picture=picture)
        assert head_of(array(data))[1:] == (3000, 3000)


def test_a_chunk_that_claims_more_than_the_file_holds_is_damage() -> None:
    data = bytearray(packed(".png"))
    at = data.index(b"IDAT") - 4
    data[at : at + 4] = struct.pack(">I", 1 << 20)
    with pytest.raises(PictureError, match="damaged png picture"):
        pixels(array(bytes(data)))
