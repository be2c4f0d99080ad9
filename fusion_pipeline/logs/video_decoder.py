"""Pictures of recorded H.264 streams, through PyAV."""

from __future__ import annotations

from typing import Any

import numpy as np

from fusion_pipeline.arrays import Bytes
from fusion_pipeline.logs.reader import FormError

KEYS = (5, 7)  # kinds of units that a stream can begin with: a picture that stands for itself, parameters


class VideoDecoder:
    """One stream by topic. Each packet is one picture in Annex B form."""

    def __init__(self) -> None:
        self._streams: dict[str, Any] = {}

    def __call__(self, topic: str, packet: bytes) -> Bytes:
        """(H, W, 3) BGR of a packet. Raises FormError before the first picture that stands for itself."""
        try:
            import av
        except ImportError:
            raise FormError("video needs PyAV; pip install 'fusion-pipeline[logs]'") from None
        stream = self._streams.get(topic)
        if stream is None:
            if not is_key(packet):
                raise FormError("video before its first whole picture")
            stream = self._streams[topic] = av.CodecContext.create("h264", "r")
            stream.thread_count = 1
            stream.flags |= av.codec.context.Flags.low_delay
        try:
            pictures = stream.decode(av.Packet(packet))
        except Exception:  # PyAV's errors are many
            del self._streams[topic]  # what follows refers to what was lost
            raise FormError("damaged video") from None
        if not pictures:
            raise FormError("video without a picture")
        return np.asarray(pictures[-1].to_ndarray(format="bgr24"), np.uint8)


def is_key(packet: bytes | memoryview) -> bool:
    """Whether an Annex B packet begins with parameters or a picture that stands for itself."""
    head = bytes(packet[:64])
    at = head.find(b"\x00\x00\x01")
    while at >= 0 and at + 3 < len(head):
        kind = head[at + 3] & 31
        if kind in KEYS:
            return True
        if kind == 1:
            return False
        at = head.find(b"\x00\x00\x01", at + 3)
    return False
