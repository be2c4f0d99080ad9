"""Records messages while they come: whoever brings them never waits for the disk.

Messages are laid out in chunks by the caller and written by a thread. The memory of both together is bounded; what
finds no room in it, or on the disk, is counted by topic and reason, and the gap in its sequence numbers is in the file.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from fusion_pipeline.clock import SECOND_NS
from fusion_pipeline.logs.filler import Filler
from fusion_pipeline.logs.mcap_chunk import CHUNK_BYTES, COMPRESSIONS, Chunk, Sealed
from fusion_pipeline.logs.parts import REFUSALS, Parts, part_path, reason_of
from fusion_pipeline.logs.picture_codec import check_form
from fusion_pipeline.logs.provenance import Provenance
from fusion_pipeline.logs.reader import LogError
from fusion_pipeline.logs.ring import Ring
from fusion_pipeline.messages import Message

CLOSE_CHUNK_S = 0.4  # a crash costs what came in this time, and what the disk has not taken yet
SPARE = 8  # empty chunks kept for use
SPLIT_AT = 0.9  # of the size at which a file ends: the caller ends it where a new one can well begin
SMALLEST_PART = 1 << 20  # bytes; a file is not ended before
END_NS = SECOND_NS << 32  # 2106: seconds have 32 bits in the stamps of ROS and Foxglove
END_S = 10.0  # how long the end waits for the disk


@dataclass(frozen=True)
class RecordingOptions:
    """What is written, and how."""

    out: Path  # replaced if it is there
    split_bytes: int = 0  # a new file at this size; 0 never
    split_ns: int = 0  # a new file after this time; 0 never
    keep_ns: int = 0  # keep the last of this in memory and write it when asked; 0: write everything
    keep_bytes: int = 1 << 30  # at most so much of it
    after_ns: int = 10 * SECOND_NS  # what is written of the time after it was asked for
    compression: str = "lz4"
    images: str = "raw"
    held_bytes: int = 256 << 20  # messages that wait for the disk
    patience_s: float = 0.0  # how long to wait for memory before a message is lost; live not at all


@dataclass(frozen=True, slots=True)
class _Save:
    at_ns: int
    why: str


class _NextPart:
    """Stands in the queue where a new file begins."""


class Recording:
    """A recording that runs. All but `save` belongs to one thread of the caller's."""

    def __init__(self, options: RecordingOptions, provenance: Provenance, first_part: int = 1) -> None:
        """Create the first file, or, with `keep_ns`, nothing yet. Raises LogError where that is not possible."""
        check_form(options.images)
        if options.compression not in COMPRESSIONS:
            raise LogError(f"--compression {options.compression} is unknown; known: {', '.join(COMPRESSIONS)}")
        self.problem = ""  # why messages are lost at present
        self.saved = 0
        self._options = options
        self._parts = Parts(options.out, provenance, first_part)
        self._ring = Ring(options.keep_ns, options.keep_bytes) if options.keep_ns else None
        self._filler = Filler(self, provenance.rig, options.images)
        self._taken = 0
        self._no_memory: Counter[tuple[str, str]] = Counter()  # each changed by one thread alone
        self._not_written: Counter[tuple[str, str]] = Counter()
        self._held = 0
        self._spare: queue.SimpleQueue[Chunk] = queue.SimpleQueue()
        self._memory = threading.Condition()  # of `_held`
        self._work: queue.SimpleQueue[Chunk | _Save | _NextPart | None] = queue.SimpleQueue()
        self._asked: list[str] = []
        self._until_ns = 0  # writing what follows a save, until then
        self._now_ns = self._part_ns = 0
        self._large = threading.Event()  # the file is nearly as large as it may be
        self._begun_s: float | None = None  # when the chunk that is being filled was begun
        self._error: BaseException | None = None
        if self._ring is None:
            try:
                self._parts.begin()
            except OSError as error:
                raise LogError(f"cannot write {options.out}: {error.strerror}; choose another place") from None
        self._thread = threading.Thread(target=self._run, name="recording", daemon=True)
        self._thread.start()

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files so far."""
        return tuple(self._parts.paths)

    @property
    def written(self) -> int:
        """Messages taken and not lost since."""
        return self._taken - self._not_written.total() - self._parts.deleted.total()

    @property
    def incident(self) -> str:
        """What happened to a file that vanished while it was written; "" where none has."""
        return self._parts.gone

    def describe(self) -> str:
        """What it does, in a line."""
        size = self._parts.total / 1e6
        if self._ring is None:
            return f"{self.written} messages, {size:.0f} MB in {self._parts.path}"
        kept = f"keeps {self._ring.span_ns / 1e9:.0f} s, {self._ring.size / 1e6:.0f} MB"
        kept += ", all that --keep-mb allows" if self._ring.shortened else ""
        return f"{kept}; {self.saved} saved, {size:.0f} MB" if self.saved else kept

    def counts(self) -> dict[tuple[str, str], int]:
        """Totals of what was lost, by topic and reason."""
        deleted = Counter({(topic, "file deleted"): count for topic, count in self._parts.deleted.copy().items()})
        return dict(self._no_memory.copy() + self._not_written.copy() + deleted)

    def write(self, message: Message) -> None:
        """Take a message."""
        at = message.header.arrival_ns
        if max(at, message.header.capture_ns) >= END_NS:
            self._no_memory[message.header.source, "refused: a stamp after 2106"] += 1
            return
        self._heed(at)
        if self._filler.write(message):
            self._taken += 1
            if self._begun_s is None:
                self._begun_s = time.monotonic()
        else:
            self._no_memory[message.header.source, "disk too slow"] += 1
            self.problem = "the disk does not take what comes"
        self.tick(at)

    def tick(self, now_ns: int) -> None:
        """Time passes: what is old enough goes to the disk."""
        self._now_ns = max(self._now_ns, now_ns)
        if self._begun_s is not None and time.monotonic() - self._begun_s >= CLOSE_CHUNK_S:
            self._filler.flush()
        if self._asked:
            self._heed(self._now_ns)
        if self._error is not None:
            raise self._error

    def save(self, why: str) -> str:
        """Write what is kept and what follows; from any thread. The answer says what will happen. Raises LogError."""
        if self._ring is None:
            raise LogError("everything is being recorded; start it with --keep to save on demand")
        self._asked.append(why)
        kept, after = self._ring.span_ns / 1e9, self._options.after_ns / 1e9
        return f"saving the last {kept:.0f} s and the next {after:.0f} s to {self._parts.path}"

    def close(self) -> None:
        """Write what waits and the index."""
        if not self._thread.is_alive():
            return
        self._heed(self._now_ns)
        self._filler.flush()
        self._work.put(None)
        self._thread.join(END_S)
        if self._thread.is_alive():
            self._give_up()
        if self._error is not None:
            raise self._error

    def _give_up(self) -> None:
        """The disk is too slow for what still waits: that is lost, and counted."""
        self.problem = f"the disk of {self._options.out} has not taken in {END_S:.0f} s what was waiting for it"
        with contextlib.suppress(queue.Empty):
            while True:
                item = self._work.get_nowait()
                for topic, count in item.messages.items() if isinstance(item, Chunk) else ():
                    self._no_memory[topic, "disk too slow"] += count
        self._work.put(None)
        self._thread.join(1.0)

    def take(self, size: int) -> Chunk | None:
        """Memory for a chunk, within the bounds; one chunk of any size there always is."""
        most = self._options.held_bytes
        with self._memory:
            free = self._memory.wait_for(lambda: not self._held or self._held + size <= most, self._options.patience_s)
            if not free:
                return None
            self._held += size
        if size <= CHUNK_BYTES:
            try:
                return self._spare.get_nowait()
            except queue.Empty:
                pass
        return Chunk(size)

    def give(self, chunk: Chunk) -> None:
        """Hand a chunk to the thread."""
        self._begun_s = None
        self._work.put(chunk)

    def _heed(self, at_ns: int) -> None:
        """Begin new files, and pass on what was asked for, between two messages."""
        options = self._options
        if self._ring is not None:
            while self._asked:
                self._filler.restart()
                self._work.put(_Save(at_ns, self._asked.pop(0)))
            return
        self._part_ns = self._part_ns or at_ns
        late = options.split_ns and at_ns - self._part_ns >= options.split_ns
        if late or self._large.is_set():
            self._large.clear()
            self._filler.restart()
            self._part_ns = at_ns
            self._work.put(_NextPart())

    def _run(self) -> None:
        try:
            self._loop()
        except BaseException as error:
            self._error = error

    def _loop(self) -> None:
        while True:
            try:
                item = self._work.get(timeout=0.2)
            except queue.Empty:
                self._end_save(self._now_ns)
                continue
            if item is None:
                self._end()
                return
            if isinstance(item, Chunk):
                try:
                    self._store(item.sealed(self._options.compression, self._ring is not None))
                finally:
                    self._give_back(item)
            elif isinstance(item, _Save):
                self._begin_save(item)
            else:
                self._large.clear()
                self._end()

    def _store(self, chunk: Sealed) -> None:
        if self._ring is not None:
            self._end_save(chunk.first_ns)
            if not self._until_ns:
                self._ring.add(chunk)
                return
        self._put(chunk)

    def _put(self, chunk: Sealed) -> None:
        most, size = self._options.split_bytes, self._parts.open_size + chunk.size
        if most and size > most and self._parts.open_size > SMALLEST_PART:
            self._end()  # the caller has not come to it: a part that begins with a picture's difference is no loss
        elif most and size > SPLIT_AT * most and self._ring is None:
            self._large.set()
        try:
            self._parts.write(chunk)
            self.problem = ""
        except REFUSALS as error:
            said = error.strerror if isinstance(error, OSError) else str(error)
            self.problem = f"cannot write {self._parts.path}: {said}; free some space"
            for topic, count in chunk.messages.items():
                self._not_written[topic, reason_of(error)] += count

    def _begin_save(self, save: _Save) -> None:
        assert self._ring is not None
        if not self._until_ns:
            try:
                self._parts.begin(save.why)
                self.saved += 1
            except REFUSALS as error:
                self.problem = f"cannot write {self._parts.path}: {error}"
        self._until_ns = max(self._until_ns, save.at_ns + self._options.after_ns, 1)
        for chunk in self._ring.take():
            self._put(chunk)

    def _end_save(self, now_ns: int) -> None:
        if self._until_ns and now_ns > self._until_ns:
            self._until_ns = 0
            self._end()

    def _end(self) -> None:
        try:
            self._parts.end(self.counts())
        except OSError as error:
            self.problem = f"no room for the index ({error.strerror}); `fusion log recover` makes the file whole"

    def _give_back(self, chunk: Chunk) -> None:
        with self._memory:
            self._held -= chunk.capacity
            self._memory.notify()
        if chunk.capacity <= CHUNK_BYTES and self._spare.qsize() < SPARE:
            chunk.clear()
            self._spare.put(chunk)


def next_part(out: Path) -> int:
    """The first number whose file is not there: what a killed recorder has written is kept."""
    number = 1
    while part_path(out, number).exists():
        number += 1
    return number
