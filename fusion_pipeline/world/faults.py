"""What can be wrong with a simulated sensor: its clock, its delivery, its place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace

import numpy as np

from fusion_pipeline.clock import MILLISECOND_NS
from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.rig import Rig


@dataclass(frozen=True, slots=True)
class Fault:
    """Of one topic; all zero is a perfect sensor. Only the truth knows."""

    offset_ms: float = 0.0  # its clock is ahead by this at the start
    drift_ppm: float = 0.0  # and gains so much
    jitter_ms: float = 0.0  # standard deviation of its stamps
    delay_ms: float = 0.0  # until a message arrives, beyond the sensor's own
    delay_jitter_ms: float = 0.0  # mean of an exponential delay on top
    drop: float = 0.0  # share of messages that never arrive, 0 to 1
    x_m: float = 0.0  # it sits so far from where the rig says, in the vehicle frame
    y_m: float = 0.0
    z_m: float = 0.0
    roll_deg: float = 0.0  # and is turned by this about its own axes
    pitch_deg: float = 0.0
    yaw_deg: float = 0.0
    dead: int = -1  # this microphone gives only its own noise; -1: none

    def __post_init__(self) -> None:
        for name in ("jitter_ms", "delay_ms", "delay_jitter_ms"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name):g}; it must not be negative")
        if not 0 <= self.drop <= 1:
            raise ValueError(f"drop is {self.drop:g}; write a share from 0 to 1")

    def stamp_ns(self, true_ns: int, since_ns: int, rng: np.random.Generator) -> int:
        """What the sensor's clock shows at `true_ns`, having run since `since_ns`."""
        wrong_ns = self.offset_ms * MILLISECOND_NS + (true_ns - since_ns) * self.drift_ppm * 1e-6
        return max(0, true_ns + round(wrong_ns + rng.normal() * self.jitter_ms * MILLISECOND_NS))

    def arrival_ns(self, ready_ns: int, rng: np.random.Generator) -> int:
        """When a message that was ready at `ready_ns` arrives."""
        late_ms = self.delay_ms + rng.exponential() * self.delay_jitter_ms
        return ready_ns + round(late_ms * MILLISECOND_NS)

    def moved(self, vehicle_from_sensor: Pose) -> Pose:
        """Where the sensor really sits."""
        roll, pitch, yaw = np.deg2rad([self.roll_deg, self.pitch_deg, self.yaw_deg]).tolist()
        turn = Pose.from_euler(roll, pitch, yaw, np.zeros(3))
        shift = Pose(np.eye(3), np.asarray([self.x_m, self.y_m, self.z_m], np.float64))
        return shift @ vehicle_from_sensor @ turn


PERFECT = Fault()


def parse_faults(texts: Iterable[str], topics: Iterable[str]) -> dict[str, Fault]:
    """{"camera/front": Fault(offset_ms=20)} of "camera/front.offset_ms=20". Raises ValueError with what is known."""
    faults: dict[str, Fault] = {}
    known = {field.name: field.type for field in fields(Fault)}
    topics = tuple(topics)
    for text in texts:
        path, equals, value = text.partition("=")
        topic, _, key = path.rpartition(".")
        if not equals or topic not in topics or key not in known:
            raise ValueError(
                f"fault {text!r} is not understood; write TOPIC.KEY=VALUE with a topic of {', '.join(topics)} "
                f"and a key of {', '.join(known)}"
            )
        try:
            number = int(value) if known[key] == "int" else float(value)
        except ValueError:
            raise ValueError(f"fault {text!r}: {value!r} is no number") from None
        faults[topic] = replace(faults.get(topic, PERFECT), **{key: number})  # type: ignore[arg-type]
    return faults


def true_rig(rig: Rig, faults: Mapping[str, Fault]) -> Rig:
    """The rig as it really is; `rig` is what everybody believes."""

    def moved(mounts: Mapping[str, object]) -> dict[str, object]:
        return {
            topic: replace(mount, vehicle_from_sensor=faults.get(topic, PERFECT).moved(mount.vehicle_from_sensor))  # type: ignore[type-var,attr-defined]
            for topic, mount in mounts.items()
        }

    return Rig(rig.name, moved(rig.lidars), moved(rig.cameras), moved(rig.audios))  # type: ignore[arg-type]


def described(faults: Mapping[str, Fault]) -> dict[str, dict[str, float]]:
    """The faults for JSON, without what is perfect."""
    ideal = asdict(PERFECT)
    tables = {topic: asdict(fault) for topic, fault in faults.items()}
    return {topic: {k: v for k, v in table.items() if v != ideal[k]} for topic, table in tables.items()}
