"""The bus over ZeroMQ: nothing lost at the start, declared delivery, no socket file that breaks a restart."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fusion_pipeline.messages import AudioChunk, Header, Health
from fusion_pipeline.transport.zeromq import ZeromqBus


def test_every_keeps_all_and_latest_keeps_the_newest(tmp_path: Path) -> None:
    bus = ZeromqBus(dict.fromkeys(("audio/a", "health/a"), f"ipc://{tmp_path / 's'}"))
    try:
        reader, writer = bus.subscriber(("audio/a", "health/a")), bus.publisher(("audio/a", "health/a"))
        assert writer.wait_for_readers({"audio/a": 1, "health/a": 1}, 10.0)
        for i in range(10):
            writer.publish(AudioChunk(Header("audio/a", i, i), 16000, np.zeros((4, 1), np.int16)))
            writer.publish(Health(Header("health/a", i, i), "a", 1, "ready"))
        writer.end()
        ends, stamps = 0, []
        while ends < 2 and (received := reader.receive(10.0)) is not None:
            ends += received.message is None
            if isinstance(received.message, AudioChunk):
                stamps.append(received.message.header.capture_ns)
        assert ends == 2
        assert stamps == list(range(10))
        assert sum(count.total for count in reader.counts() if count.reason == "lost") == 0
    finally:
        bus.close()
