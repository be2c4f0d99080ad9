"""What a running graph says of itself, gathered for people: rates, latencies, losses, the last boxes."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from fusion_pipeline.clock import SECOND_NS, now_ns
from fusion_pipeline.messages import Count, Detections, Health, Message, StageTiming, Tracks
from fusion_pipeline.stream_findings import stream_findings
from fusion_pipeline.stream_statistics import StreamStatistics
from fusion_pipeline.trace import Timings

RATE_WINDOW_NS = 3 * SECOND_NS  # long enough to steady a rate of 2 Hz, short enough to show a stall
RUN_WINDOW = 100_000  # sets that the summary remembers: nearly three hours at 10 Hz
IN_HAND, SINCE_CAPTURE, IN_STAGES = "last input in hand to here", "instant of the set to here", "sum of all stages"
SETS = ("set", "detections", "tracks")  # topics with one message for each set
# Of a set's parts only these are known: repeated and skipped stamps there are the aligner's choice, not the sensor's.
LIVE = ("clock-offset", "future-stamp", "clock-jump", "unstamped")
_SILENT_TOPICS = ("logtime",)  # promises of a player about its clock: no data


@dataclass
class NodeBoard:
    """One node by its heartbeats."""

    health: Health | None = None
    _history: deque[tuple[int, dict[str, int]]] = field(default_factory=deque)

    def feed(self, health: Health) -> None:
        """Take a heartbeat; one from a new process starts afresh, since its counts do."""
        if self.health is not None and self.health.pid != health.pid:
            self._history.clear()
        self.health = health
        # A node that publishes nothing, such as a recorder, is as busy as what it receives.
        counts = health.published or health.received
        totals = {c.topic: c.total for c in counts if c.topic.split("/")[0] not in _SILENT_TOPICS}
        at_ns = health.monotonic_ns or health.header.capture_ns  # a clock that jumps makes no rate
        self._history.append((at_ns, totals))
        while self._history[0][0] < at_ns - RATE_WINDOW_NS:
            self._history.popleft()

    def rates_hz(self) -> dict[str, float]:
        """Messages per second of each topic that the node publishes, over the last seconds."""
        if len(self._history) < 2:
            return {}
        (start_ns, before), (end_ns, after) = self._history[0], self._history[-1]
        elapsed_s = max(end_ns - start_ns, 1) / SECOND_NS
        return {topic: (total - before.get(topic, 0)) / elapsed_s for topic, total in after.items()}

    def timings(self) -> tuple[StageTiming, ...]:
        """Latency per stage over the last 256 samples, as the node reports it."""
        timings = self.health.timings if self.health is not None else ()
        return tuple(timing for timing in timings if not timing.stage.startswith(_SILENT_TOPICS))


class Board:
    """Feed it every message that the supervisor yields."""

    def __init__(self, replay: bool = False, tracked: bool = False) -> None:
        """`tracked`: sets arrive as tracks, so their detections are no sets of their own."""
        self.nodes: dict[str, NodeBoard] = {}
        self.last: Tracks | Detections | None = None
        self.sets = 0
        self.first_set_ns = 0
        self._replay = replay
        self._tracking = tracked
        self._recent = Timings()
        self._run = Timings(RUN_WINDOW)
        self._times_ns: deque[int] = deque()
        self._stamps_ns: deque[int] = deque()  # of the same sets, on the sensors' clock
        self.sources: dict[str, StreamStatistics] = {}  # of the sensors, by the stamps of what was used
        self._absent: Counter[str] = Counter()  # "camera/front: late" in how many sets

    def feed(self, message: Message) -> None:
        """Take a message; of kinds that say nothing of the graph's state, no notice is taken."""
        if isinstance(message, Health):
            self.nodes.setdefault(message.node, NodeBoard()).feed(message)
        elif isinstance(message, Tracks):
            self._tracking = True
            self._take(message)
        elif isinstance(message, Detections) and not self._tracking:
            self._take(message)

    @property
    def sets_made(self) -> int:
        """Sets that reached this process, or that the nodes say they published, whichever are more."""
        counts = (c for node in self.nodes.values() if node.health is not None for c in node.health.published)
        return max(self.sets, *(count.total for count in counts if count.topic in SETS), 0)

    def set_rate_hz(self) -> float:
        """Sets per second that reached this process over the last seconds."""
        if len(self._times_ns) < 2 or time.monotonic_ns() - self._times_ns[-1] > RATE_WINDOW_NS:
            return 0.0
        return (len(self._times_ns) - 1) * SECOND_NS / max(self._times_ns[-1] - self._times_ns[0], 1)

    def pace(self) -> float:
        """Seconds of the sensors' clock per second of this machine's over the last sets; 0 where it is not known.

        A replay slower than real time has less than its rate.
        """
        if len(self._times_ns) < 2 or self._times_ns[-1] - self._times_ns[0] < SECOND_NS:
            return 0.0
        return max(self._stamps_ns[-1] - self._stamps_ns[0], 0) / (self._times_ns[-1] - self._times_ns[0])

    def stream_troubles(self) -> tuple[str, ...]:
        """What is wrong with the sensors' stamps and who is missing, in the words of findings."""
        found = []
        for topic, statistics in sorted(self.sources.items()):
            for name, detail, _ in stream_findings(topic.split("/", 1)[0], statistics.summary()):
                if name in LIVE:
                    found.append(f"{topic}: {detail} [{name}]")
        missing = ((why, count) for why, count in self._absent.most_common() if 20 * count > self.sets >= 20)
        return (*found, *(f"{why} in {count} of {self.sets} sets" for why, count in missing))

    def losses(self) -> dict[str, int]:
        """What was lost or refused, by node, topic and reason."""
        return {
            f"{label}: {count.topic}: {count.reason}": count.total
            for label, node in sorted(self.nodes.items()) if node.health is not None
            for count in (*losses(node.health.dropped), *node.health.refused) if count.total
        }  # fmt: skip

    def end_to_end(self) -> tuple[StageTiming, ...]:
        """How long the last 256 sets took, as a whole.

        Live, from the sensors' stamps to this process. In replay stamps are the log's, so only the sum of the stages
        has a meaning.
        """
        return tuple(timing for timing in self._recent.summary() if timing.stage in (IN_HAND, SINCE_CAPTURE, IN_STAGES))

    def whole_run(self) -> tuple[StageTiming, ...]:
        """Latency per stage over all sets of the run, in the order of a set's way, then as a whole."""
        return self._run.summary()

    def elsewhere(self) -> tuple[StageTiming, ...]:
        """Last reported latency of the stages that no set passes through, such as a recorder's."""
        known = {timing.stage for timing in self.whole_run()}
        reported = (timing for node in self.nodes.values() for timing in node.timings())
        return tuple(timing for timing in reported if timing.stage not in known)

    def dropped(self) -> int:
        """Messages that were passed over, overwritten or lost, in all nodes."""
        return sum(total(losses(node.health.dropped)) for node in self.nodes.values() if node.health is not None)

    def stalled(self) -> frozenset[str]:
        """Nodes that say that one of their calls does not come back."""
        nodes = self.nodes.items()
        return frozenset(label for label, node in nodes if node.health is not None and node.health.state == "stalled")

    def troubles(self) -> tuple[str, ...]:
        """What is wrong at present, in words: nodes that report themselves degraded, stalled or failed."""
        said = ((label, node.health) for label, node in sorted(self.nodes.items()) if node.health is not None)
        return tuple(
            f"{label}: {health.detail}" for label, health in said if health.state in ("degraded", "stalled", "failed")
        )

    def refused(self) -> int:
        """Messages that could not be used, in all nodes."""
        return sum(total(node.health.refused) for node in self.nodes.values() if node.health is not None)

    def _take(self, message: Tracks | Detections) -> None:
        now = now_ns()
        self.last, self.sets = message, self.sets + 1
        self.first_set_ns = self.first_set_ns or now
        self._times_ns.append(time.monotonic_ns())
        self._stamps_ns.append(message.header.capture_ns)
        while self._times_ns[0] < self._times_ns[-1] - RATE_WINDOW_NS:
            self._times_ns.popleft()
            self._stamps_ns.popleft()
        for source in message.sources:
            statistics = self.sources.get(source.source)
            if statistics is None:
                statistics = self.sources[source.source] = StreamStatistics()
            statistics.add(source.capture_ns, message.header.arrival_ns)
        for reason in message.missing:
            self._absent[reason.partition(" by ")[0]] += 1  # "camera/front: late", whatever by
        # What the aligner waited for belongs to the sensors' time, which in replay is not ours.
        hops = [hop for hop in message.header.hops if not (self._replay and hop.stage.startswith("aligner/wait"))]
        for timings in (self._recent, self._run):
            timings.add_hops(hops)
            if self._replay:
                timings.add(IN_STAGES, sum(hop.end_ns - hop.start_ns for hop in hops))
            else:
                timings.add(IN_HAND, now - message.header.arrival_ns)
                timings.add(SINCE_CAPTURE, now - message.header.capture_ns)


def losses(counts: Iterable[Count]) -> tuple[Count, ...]:
    """Counts without what is passed over by design: the aligner takes the best of a stream, not all of it."""
    return tuple(count for count in counts if count.reason != "unmatched")


def total(counts: Iterable[Count]) -> int:
    """The sum of some counts."""
    return sum(count.total for count in counts)
