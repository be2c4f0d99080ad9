"""JPEG and PNG files: what they are, whether they are whole, and their pixels. One rule for every reader.

Pixels are those that are stored: the orientation that EXIF asks viewers to apply is left alone, because intrinsics,
boxes and what a device streams belong to the stored ones. Formats: ITU-T T.81 (JPEG), ISO/IEC 15948 (PNG).
"""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

import numpy as np

from fusion_pipeline.arrays import Bytes

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
MOST_PIXELS = 1 << 28
MOST_OF_A_BYTE = 1032  # bytes that one of Deflate's becomes at most (RFC 1951: 258 from 2 bits)
PIXELS_OF_A_BYTE = 512  # of a JPEG with Huffman codes: 8 x 8 pixels have a code of a bit at least
HEAD_BYTES = 1 << 16  # in which the size of nearly every file lies
SIZES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # JPEG markers that begin a frame
# Formats that are named when they are met: where their mark lies, the mark, the name.
OTHERS = (
    (8, b"WEBP", "WebP"), (0, b"II*\0", "TIFF"), (0, b"MM\0*", "TIFF"), (0, b"BM", "BMP"), (0, b"GIF8", "GIF"),
    (0, b"\0\0\0\x0cjP  ", "JPEG 2000"), (0, b"\xff\x4f\xff\x51", "JPEG 2000"), (0, b"\x76\x2f\x31\x01", "OpenEXR"),
    (4, b"ftypavif", "AVIF"), (4, b"ftyphei", "HEIF"), (4, b"ftypmif1", "HEIF"), (4, b"ftyp", "video (MP4)"),
    (0, b"P5", "PGM"), (0, b"P6", "PPM"), (0, b"\x1a\x45\xdf\xa3", "video (Matroska)"), (8, b"AVI ", "video (AVI)"),
)  # fmt: skip
READ = (0xC0, 0xC1, 0xC2, 0xC9, 0xCA)  # of these the ones that image libraries decode: not lossless, not hierarchical
HUFFMAN = (0xC0, 0xC1, 0xC2)
ALONE = {0x01, *range(0xD0, 0xD9)}  # markers without a length
_LARGE = 1 << 24  # pixels, from where on the chunks of a PNG are looked through
_DEPTHS = (1, 2, 4, 8, 16)
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by a PNG's colour type
# A marker within entropy-coded data: 0xFF before anything but a stuffed 0, a restart or another 0xFF.
_NEXT_MARKER = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")


class PictureError(ValueError):
    """Bytes that are no picture that can be read; short enough for a refusal count."""

    def __init__(self, reason: str, damaged: bool = True) -> None:
        super().__init__(reason)
        self.damaged = damaged  # False: whole as it may be, but of a format that is not read


class Head(NamedTuple):
    """What the first bytes of a picture's file say."""

    encoding: str  # "jpeg" or "png"
    height_px: int
    width_px: int


def head_of(data: Bytes) -> Head:
    """Form and size of a picture's file (n,). Raises PictureError for anything but a PNG or JPEG that can be read, and
    for one of more pixels than its bytes can hold: a decoder would first make room for all of them.
    """
    start = data[:HEAD_BYTES].tobytes()
    if start.startswith(PNG_SIGNATURE) and len(start) >= 26:
        width, height = struct.unpack(">II", start[16:24])
        found = Head("png", height, width)
        bits = start[24] * _CHANNELS.get(start[25], 0)
        held = len(data) if height * width < _LARGE else _png_bytes(data.tobytes())
        if start[24] not in _DEPTHS or not bits or height * width * bits > 8 * MOST_OF_A_BYTE * held:
            raise PictureError("damaged png picture: larger than its bytes can hold")
    elif start.startswith(b"\xff\xd8"):
        # Colour profiles and previews may be longer than the head.
        found = _jpeg_head(start, len(data)) or _jpeg_head(data.tobytes(), len(data)) or Head("jpeg", 0, -1)
        if found.width_px < 0:
            raise PictureError("damaged jpeg picture")
    else:
        name = next((name for at, mark, name in OTHERS if start[at : at + len(mark)] == mark), "")
        if name:
            raise PictureError(f"{name} is not read; convert it to PNG or JPEG", damaged=False)
        raise PictureError("neither a PNG nor a JPEG picture")
    if not 0 < found.height_px * found.width_px <= MOST_PIXELS:
        raise PictureError("picture of no size")
    return found


def is_whole(data: Bytes) -> bool:
    """Whether a PNG or JPEG file (n,) has its end, whatever lies behind it: zeros, metadata, a second picture."""
    if data[:1].tobytes() == b"\x89":
        return b"IEND" in data[-16:].tobytes() or _png_ends(data.tobytes())
    if data[-2:].tobytes() == b"\xff\xd9":
        return True
    return _jpeg_ends(data.tobytes())


def pixels(data: Bytes) -> Bytes:
    """(height, width, 3) in the order B, G, R: grey, palettes, CMYK and 16 bits brought to it, alpha left out.

    Raises PictureError for what is damaged, cut off or no picture.
    """
    import cv2

    head = head_of(data)
    if not is_whole(data):
        raise PictureError(f"truncated {head.encoding} picture")  # OpenCV would fill the rest with grey
    if head.encoding == "png" and not _png_ends(data.tobytes()):  # it makes room for what a chunk claims to be long
        raise PictureError("damaged png picture")
    try:
        found = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        found = None
    if found is None or found.shape[:2] != (head.height_px, head.width_px):
        raise PictureError(f"damaged {head.encoding} picture")
    return np.asarray(found, np.uint8)


def _jpeg_head(data: bytes, length: int) -> Head | None:
    """From the frame header; None where it does not lie in `data`, the first bytes of `length`."""
    at = 2
    while at + 9 < len(data):
        if data[at] != 0xFF:
            return None
        kind = data[at + 1]
        if kind == 0xFF:  # a fill byte
            at += 1
        elif kind in SIZES:
            bits, height, width = struct.unpack_from(">BHH", data, at + 4)
            if kind not in READ:
                raise PictureError("lossless or hierarchical jpeg picture, which is not read")
            if bits != 8:
                raise PictureError(f"jpeg picture of {bits} bits, which is not read")
            if kind in HUFFMAN and height * width > PIXELS_OF_A_BYTE * length:
                raise PictureError("damaged jpeg picture: larger than its bytes can hold")
            return Head("jpeg", height, width)
        elif kind == 0xDA:
            return None
        elif kind in ALONE:
            at += 2
        else:
            at += 2 + max(2, data[at + 2] << 8 | data[at + 3])
    return None


def _jpeg_ends(data: bytes) -> bool:
    """Whether the end of the first picture lies in `data`: from marker to marker, over all of its scans."""
    at = 2
    while at + 2 <= len(data):
        if data[at] != 0xFF:
            return False
        kind = data[at + 1]
        if kind == 0xFF:
            at += 1
        elif kind == 0xD9:
            return True
        elif kind in ALONE:
            at += 2
        elif at + 4 > len(data):
            return False
        else:
            at += 2 + max(2, data[at + 2] << 8 | data[at + 3])
            if kind == 0xDA:
                found = _NEXT_MARKER.search(data, at)
                if found is None:
                    return False
                at = found.end() - 2
    return False


def _png_bytes(data: bytes) -> int:
    """Of compressed pixels, in all chunks IDAT."""
    at, found = len(PNG_SIGNATURE), 0
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        found += min(length, len(data) - at - 12) if data[at + 4 : at + 8] == b"IDAT" else 0
        at += 12 + length
    return found


def _png_ends(data: bytes) -> bool:
    at = len(PNG_SIGNATURE)
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] == b"IEND":
            return True
        at += 12 + length
    return False
