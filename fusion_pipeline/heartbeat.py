"""A node's health, published from a thread of its own so that a long step cannot silence it."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

from fusion_pipeline.clock import now_ns
from fusion_pipeline.ledger import added
from fusion_pipeline.messages import Count, Header, Health
from fusion_pipeline.progress import SHOWN_AFTER

if TYPE_CHECKING:
    from fusion_pipeline.process import Runner

PERIOD_S = 0.5
AWAY_S = 1.0  # a longer pause between two heartbeats means that the whole process stood still
NOT_BAD = ("late", "unmatched", "evicted", "lost")  # reasons that begin so say nothing against the message itself


class Heartbeat(threading.Thread):
    """Publishes `Health` on "health/<node>" twice a second, and once more at the end."""

    def __init__(self, runner: Runner) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self._runner = runner
        self._done = threading.Event()

    def run(self) -> None:
        """Publish until stopped."""
        # The bus is opened in this thread: a ZeroMQ socket belongs to the thread that uses it.
        from fusion_pipeline.transport.zeromq import ZeromqBus

        spec = self._runner.spec
        topic = f"health/{spec.label}"
        publisher = ZeromqBus(spec.endpoints).publisher((topic,))
        try:
            said, last = "", time.monotonic()
            while not self._done.wait(0.05 if said != self._runner.node.state else PERIOD_S):
                now = time.monotonic()
                if now - last > AWAY_S:
                    self._runner.work.pardon(now - last - PERIOD_S)
                last = now
                health = self.health(topic)
                publisher.publish(health)
                said = health.state if health.state != "stalled" else self._runner.node.state
            publisher.publish(self.health(topic))
        finally:
            publisher.close()

    def stop(self) -> None:
        """Publish once more and end the thread."""
        self._done.set()
        self.join(1.0)

    def health(self, topic: str) -> Health:
        """What the node says of itself now."""
        runner, now = self._runner, now_ns()
        published, dropped = runner.published()
        received, lost, refused = runner.received()
        own = [Count(name, reason, total) for (name, reason), total in runner.node.counts().items()]
        passed = [count for count in own if count.reason.startswith(NOT_BAD)]
        before = runner.spec.carried
        state, detail = runner.node.state, runner.node.detail
        work, work_s, limit_s = runner.work.state()
        if limit_s and work_s > SHOWN_AFTER * limit_s and state != "failed":
            state, detail = "stalled", f"at work on {work} for {work_s:.1f} s; started again after {limit_s:g} s"
        elif state == "starting" and work_s > PERIOD_S:
            detail = f"{work} for {work_s:.0f} s" + (f"; {detail}" if detail else "")
        return Health(
            header=Header(topic, now, now),
            node=runner.spec.label,
            pid=os.getpid(),
            state=state,
            detail=detail,
            timings=runner.timings.summary(),
            received=received,
            published=published,
            dropped=added(before.dropped, (*dropped, *lost, *passed)),
            refused=added(before.refused, (*refused, *(count for count in own if count not in passed))),
            work=work,
            work_s=work_s,
            work_limit_s=limit_s,
            starts=runner.spec.starts,
            monotonic_ns=time.monotonic_ns(),
        )
