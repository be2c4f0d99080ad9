"""Lays messages out in chunks: the common part of writing a file and of recording."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from fusion_pipeline.logs.entries import Entry, beside, entries, rig_entries, video
from fusion_pipeline.logs.mcap_chunk import CHUNK_BYTES, Channels, Chunk, needed
from fusion_pipeline.logs.picture_codec import VideoEncoder, raw_picture, smaller
from fusion_pipeline.messages import CameraFrame, Message
from fusion_pipeline.rig import Rig

SPAN_NS = 1_000_000_000  # a chunk covers at most this much of the log's time
REPEAT_NS = 1_000_000_000  # frames and lenses are said again, so that a viewer may start anywhere


class Memory(Protocol):
    """Where chunks come from and go to."""

    def take(self, size: int) -> Chunk | None:
        """An empty chunk with room for at least `size` bytes; None where there is no memory for it now."""

    def give(self, chunk: Chunk) -> None:
        """A chunk that is full or old enough."""


class Filler:
    """Messages in, chunks out."""

    def __init__(self, memory: Memory, rig: Rig | None = None, images: str = "raw") -> None:
        self._memory, self._rig, self._images = memory, rig, images
        self._channels = Channels()
        self._chunk: Chunk | None = None
        self._sequence: Counter[str] = Counter()
        self._repeated_ns = -REPEAT_NS
        self._videos: dict[str, VideoEncoder] = {}

    @property
    def waiting(self) -> int:
        """Bytes in the chunk that is being filled."""
        return 0 if self._chunk is None else self._chunk.used

    def write(self, message: Message) -> bool:
        """Lay out a message under its topic, at its arrival. False where there is no memory; nothing is written then,
        and the gap in the sequence numbers says so.
        """
        topic, at = message.header.source, message.header.arrival_ns
        if self._rig is not None and abs(at - self._repeated_ns) >= REPEAT_NS:
            if not self.put(list(rig_entries(self._rig, at)), at):
                self._sequence[topic] += 1
                return False
            self._repeated_ns = at
        found = self._pictures(message) if isinstance(message, CameraFrame) else list(entries(message))
        if self.put(found, at, topic):
            return True
        self._videos.pop(topic, None)  # what follows must not refer to a picture that is not there
        return False

    def put(self, found: Sequence[Entry], at_ns: int, topic: str = "") -> bool:
        """Lay out entries side by side in one chunk; `topic` is counted as one message."""
        wanted = [(self._channels.of(entry.topic, entry.form), entry.size) for entry in found]
        for entry in found:
            self._sequence[entry.topic] += 1
        chunk = self._chunk
        if chunk is not None and not (chunk.room_for(wanted) and chunk.within(at_ns, SPAN_NS)):
            self.flush()
            chunk = None
        if chunk is None:
            chunk = self._chunk = self._memory.take(max(CHUNK_BYTES, needed(wanted)))
            if chunk is None:
                return False
        for entry, (channel, size) in zip(found, wanted, strict=True):
            entry.put(chunk.room(channel, at_ns, at_ns, self._sequence[entry.topic], size))
        if topic:
            chunk.messages[topic] += 1
        return True

    def flush(self) -> None:
        """Give away what there is."""
        chunk, self._chunk = self._chunk, None
        if chunk is not None:
            self._memory.give(chunk)

    def restart(self) -> None:
        """What comes next begins a file of its own: it holds the rig, and its video begins anew."""
        self.flush()
        self._repeated_ns = -REPEAT_NS
        self._videos.clear()

    def _pictures(self, frame: CameraFrame) -> list[Entry]:
        if self._images == "h264":
            picture = raw_picture(frame)
            if picture is not None:
                topic, size = frame.header.source, (picture.height_px, picture.width_px)
                encoder = self._videos.get(topic)
                if encoder is None or (encoder.height_px, encoder.width_px) != size:
                    encoder = self._videos[topic] = VideoEncoder(*size)
                shown = replace(picture, header=frame.header)
                return [beside(shown), video(shown, encoder.encode(picture))]
        return list(entries(smaller(frame, self._images)))
