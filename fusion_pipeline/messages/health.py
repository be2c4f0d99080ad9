"""What a node reports of itself, once or twice a second."""

from __future__ import annotations

from dataclasses import dataclass

from fusion_pipeline.messages.header import Header

STATES = ("starting", "ready", "degraded", "stalled", "stopping", "failed")


@dataclass(frozen=True, slots=True)
class StageTiming:
    """Latency of one stage over the last reporting period."""

    stage: str
    count: int
    p50_ms: float
    p95_ms: float
    max_ms: float


@dataclass(frozen=True, slots=True)
class Count:
    """A running total over all starts of the node, such as ("camera/front", "overwritten", 3)."""

    topic: str
    reason: str
    total: int


@dataclass(frozen=True, slots=True)
class Health:
    """State of one node; `header.source` is "health/<node>"."""

    header: Header
    node: str
    pid: int
    state: str
    detail: str = ""  # why it is degraded, or what it runs on ("CPUExecutionProvider, 1 thread")
    timings: tuple[StageTiming, ...] = ()
    received: tuple[Count, ...] = ()
    published: tuple[Count, ...] = ()
    dropped: tuple[Count, ...] = ()  # by receiver, with reason
    refused: tuple[Count, ...] = ()  # bad input, by topic and reason
    work: str = ""  # what the node is at work on, such as the topic of a message; "" while it waits for one
    work_s: float = 0.0  # how long this call has not come back
    work_limit_s: float = 0.0  # the supervisor restarts the node after so long; 0 never
    starts: int = 0  # how often it has been started before
    monotonic_ns: int = 0  # the host's clock that never jumps; 0 where it was not noted

    def __post_init__(self) -> None:
        if self.state not in STATES:
            raise ValueError(f"health.state {self.state!r} is unknown; known: {', '.join(STATES)}")


@dataclass(frozen=True, slots=True)
class LogTime:
    """A player's promise during replay: every message that arrived up to `header.arrival_ns` has been sent."""

    header: Header


@dataclass(frozen=True, slots=True)
class Lap:
    """A replay begins anew, at its start or elsewhere in its log: whoever reads it forgets what came before.

    Sets count as results where `from_ns <= capture_ns < until_ns`; those before only warm up what has a memory.
    """

    header: Header  # stamped with the log's time at which reading begins
    number: int  # 0 for the first
    from_ns: int
    until_ns: int
