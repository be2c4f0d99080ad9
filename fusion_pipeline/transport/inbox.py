"""What every reader does with what arrives: order, delivery, gaps, counts."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping

from fusion_pipeline.messages import Count
from fusion_pipeline.topics import Delivery, topic_of
from fusion_pipeline.transport.bus import Envelope, Received

QUEUE = 64  # messages that wait for a reader on its side of a connection


class Inbox:
    """A bounded queue in front of one reader. With `lossless` every topic is delivered as EVERY."""

    def __init__(self, topics: Iterable[str], lossless: bool) -> None:
        self.topics = frozenset(topics)
        self._latest = {t for t in self.topics if not lossless and topic_of(t).delivery is Delivery.LATEST}
        self._waiting = deque[Received]()
        self._last: dict[str, Envelope] = {}
        self._resumed: dict[str, tuple[int, str]] = {}
        self._counts: Counter[tuple[str, str]] = Counter()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def full(self) -> bool:
        """Whether nothing more should be put in."""
        return len(self._waiting) >= QUEUE

    def put(self, received: Received) -> bool:
        """Queue a message; a waiting one that it supersedes is dropped and counted. False: it had come before."""
        topic = received.topic
        if not self._note(topic, received.envelope):
            return False
        self._counts[topic, "received"] += 1
        if topic in self._latest and received.message is not None:
            for older in [one for one in self._waiting if one.topic == topic and one.message is not None]:
                # By identity: comparing messages would compare their arrays.
                self._waiting = deque(one for one in self._waiting if one is not older)
                self._counts[topic, "overwritten"] += 1
        self._waiting.append(received)
        return True

    def pop(self) -> Received:
        """The message that has waited longest. Raises IndexError where there is none."""
        return self._waiting.popleft()

    def clear(self) -> None:
        """Let go of what waits."""
        self._waiting.clear()

    def resume(self, following: Mapping[str, int], reason: str) -> None:
        """Expect messages from these sequence numbers on; what lies before the first one that comes is counted as
        `reason`.
        """
        self._resumed |= {topic: (number, reason) for topic, number in following.items()}

    def lose(self, topic: str, reason: str, envelope: Envelope) -> None:
        """Count a message that came but cannot be delivered."""
        if self._note(topic, envelope):
            self._counts[topic, f"lost: {reason}"] += 1

    def refuse(self, topic: str, reason: str) -> None:
        """Count bad input. What names none of this reader's topics goes to "?", so that nobody can fill the table."""
        self._counts[topic if topic in self.topics else "?", f"refused: {reason}"] += 1

    def counts(self) -> tuple[Count, ...]:
        """Totals by topic and reason."""
        return tuple(Count(topic, reason, total) for (topic, reason), total in self._counts.copy().items())

    def _note(self, topic: str, envelope: Envelope) -> bool:
        last = self._last.get(topic)
        if last is not None and last.writer == envelope.writer:
            missing = envelope.sequence - last.sequence - 1
            if missing < 0:
                return False
            if missing:
                self._counts[topic, "lost"] += missing
        elif last is None and topic in self._resumed:
            following, reason = self._resumed.pop(topic)
            if envelope.sequence > following:
                self._counts[topic, reason] += envelope.sequence - following
        self._last[topic] = envelope
        return True
