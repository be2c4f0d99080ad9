"""The last seconds of what came, in memory, until somebody wants them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from fusion_pipeline.logs.mcap_chunk import Sealed


class Ring:
    """Finished chunks of the last `keep_ns`, at most `most_bytes` of them."""

    def __init__(self, keep_ns: int, most_bytes: int) -> None:
        self._keep_ns, self._most = keep_ns, most_bytes
        self._chunks: deque[Sealed] = deque()
        self.size = 0
        self.shortened = False  # there was no room for all of `keep_ns`

    @property
    def span_ns(self) -> int:
        """How far it reaches back from its newest message."""
        chunks = tuple(self._chunks)
        return max((chunk.last_ns for chunk in chunks), default=0) - chunks[0].first_ns if chunks else 0

    def add(self, chunk: Sealed) -> None:
        """Keep a chunk; the oldest go."""
        self._chunks.append(chunk)
        self.size += chunk.size
        newest = chunk.last_ns
        while self._chunks and newest - self._chunks[0].last_ns > self._keep_ns:
            self._drop()
        self.shortened = False
        while len(self._chunks) > 1 and self.size > self._most:
            self._drop()
            self.shortened = True

    def take(self) -> Iterator[Sealed]:
        """All that is kept, oldest first; it is gone afterwards."""
        while self._chunks:
            yield self._drop()

    def _drop(self) -> Sealed:
        chunk = self._chunks.popleft()
        self.size -= chunk.size
        return chunk
