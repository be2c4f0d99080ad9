"""Readers that fall silent: what was published for a process is compared with what it has taken."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

LOOK_S = 1.0  # how often it is compared
STARVED_S = 5.0  # without a message taken ...
STARVED_MESSAGES = 10  # ... while at least so many were published


@dataclass(slots=True)
class _Seen:
    taken: int  # the sequence number after that of the last message taken
    published: int  # how many had been published then
    since_s: float
    reported: bool = False


@dataclass(slots=True)
class Starvation:
    """Watches pairs of a reader and a topic that it reads."""

    _seen: dict[tuple[str, str], _Seen] = field(default_factory=dict)
    _looked_s: float = float("-inf")

    def due(self, now_s: float) -> bool:
        """Whether it is time to compare again; at most once in LOOK_S."""
        if now_s - self._looked_s < LOOK_S:
            return False
        self._looked_s = now_s
        return True

    def look(
        self, now_s: float, published: Mapping[str, int], taken: Mapping[str, Mapping[str, int]]
    ) -> Iterator[tuple[str, str]]:
        """Yield (reader, what) where a topic begins to pass a reader by, and where it is taken again.

        `published`: messages by topic; `taken`: by reader and topic, the number after that of the last one it took.
        Readers that are not named are forgotten.
        """
        for key in [key for key in self._seen if key[0] not in taken]:
            del self._seen[key]
        for reader, topics in taken.items():
            for topic, following in topics.items():
                total = published.get(topic, 0)
                seen = self._seen.get((reader, topic))
                if seen is None or following != seen.taken:
                    if seen is not None and seen.reported:
                        yield reader, f"takes {topic} again, after {now_s - seen.since_s:.0f} s"
                    self._seen[reader, topic] = _Seen(following, total, now_s)
                    continue
                missed = total - seen.published
                if not seen.reported and now_s - seen.since_s >= STARVED_S and missed >= STARVED_MESSAGES:
                    seen.reported = True
                    yield (
                        reader,
                        f"nothing of {topic} has reached it for {now_s - seen.since_s:.0f} s, {missed} published",
                    )
