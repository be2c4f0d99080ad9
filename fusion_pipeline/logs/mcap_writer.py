"""Writes messages as an MCAP log: sensors in Foxglove's schemas, results as JSON and as boxes to look at."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from fusion_pipeline.logs.entries import Entry, json_form
from fusion_pipeline.logs.filler import Filler
from fusion_pipeline.logs.mcap_chunk import CHUNK_BYTES, Chunk
from fusion_pipeline.logs.mcap_out import McapOut
from fusion_pipeline.logs.picture_codec import check_form
from fusion_pipeline.logs.provenance import RIG, Provenance
from fusion_pipeline.logs.reader import LogError
from fusion_pipeline.messages import Message
from fusion_pipeline.rig import Rig

__all__ = ["RIG", "McapWriter"]


CHUNKS = 3  # one is filled while others are on their way to the disk


class McapWriter:
    """One file. `rig` is embedded where there is one. A thread compresses and writes; who is faster waits for it."""

    def __init__(
        self,
        path: Path,
        rig: Rig | None = None,
        facts: dict[str, str] | None = None,
        compression: str = "lz4",
        images: str = "raw",
    ) -> None:
        """Create `path`, replacing what is there; `facts` become a metadata record. Raises LogError."""
        check_form(images)
        self.path = path
        self.written = 0
        self._compression = compression
        self._error: BaseException | None = None
        self._made = 0
        self._free: queue.SimpleQueue[Chunk] = queue.SimpleQueue()
        self._work: queue.SimpleQueue[Chunk | None] = queue.SimpleQueue()
        self._filler = Filler(self, rig, images)
        self._file = McapOut(path)
        try:
            Provenance(rig, facts or {}).write_to(self._file)
        except OSError as error:
            self._file.abandon()
            raise self._failed(error) from None
        self._thread = threading.Thread(target=self._run, name="log writer", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
            return
        try:
            # A signal may have come in the middle of laying out a message: its chunk is left out.
            self._close(flush=isinstance(error, Exception))
        except LogError:
            return  # the first error says more

    def write(self, message: Message) -> None:
        """Append a message under its topic, at its arrival. Raises LogError where the disk does not take it."""
        self._filler.write(message)
        self.written += 1

    def note(self, topic: str, table: Mapping[str, object], at_ns: int) -> None:
        """Append a JSON object that is no message, such as the truth of a simulation."""
        form = json_form(topic.split("/")[0] if topic not in ("detections", "tracks", "health") else "note")
        self._filler.put([Entry(topic, form, json.dumps(dict(table)).encode())], at_ns)

    def close(self) -> None:
        """Write the index; the file can be opened without it, but not quickly. Raises LogError."""
        self._close(flush=True)

    def holds(self) -> str:
        """What is in the file, in words; empty where that is no message."""
        stored = self._file.messages.total()
        return f"{stored} messages" if stored else ""

    def _close(self, flush: bool) -> None:
        if self._file.closed:
            return
        try:
            if flush:
                self._filler.flush()
            self._work.put(None)
            self._thread.join()
            self._check()
            self._file.close()
        except OSError as error:
            raise self._failed(error) from None
        finally:
            self._file.abandon()

    def take(self, size: int) -> Chunk:
        """Memory for what comes next, as soon as there is some. Raises LogError where writing has failed."""
        self._check()
        if self._made < CHUNKS and self._free.empty():
            self._made += 1
            return Chunk(max(size, CHUNK_BYTES))
        chunk = self._free.get()
        return chunk if chunk.capacity >= size else Chunk(size)

    def give(self, chunk: Chunk) -> None:
        """Have a chunk written."""
        self._work.put(chunk)

    def _run(self) -> None:
        while (chunk := self._work.get()) is not None:
            try:
                if self._error is None:
                    self._file.add_chunk(chunk.sealed(self._compression))
            except BaseException as error:  # raised where the next message comes, or at the end
                self._error = error
            chunk.clear()
            self._free.put(chunk)

    def _check(self) -> None:
        if isinstance(self._error, OSError):
            raise self._failed(self._error) from None
        if self._error is not None:
            raise self._error

    def _failed(self, error: OSError) -> LogError:
        return LogError(f"cannot write {self.path}: {error.strerror}; choose another place or free some space")
