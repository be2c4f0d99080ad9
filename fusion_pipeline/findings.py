"""Findings: what is wrong with a recording or with a running graph, under names that stay.

Whoever notices something adds it to a `Findings` by its name; the table here says how severe it is and what to do.
Every verb that judges prints the same words and ends with exit code 3 where an error is among them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

SEVERITIES = ("error", "warning", "note")  # errors alone make a verdict of "something is wrong"


@dataclass(frozen=True, slots=True)
class FindingKind:
    """One kind of finding: its severity, what it means for results, and what to do about it."""

    severity: str
    meaning: str
    remedy: str


# Names are part of the interface (--allow NAME, JSON, docs/findings.md): never renamed, never reused.
KINDS: dict[str, FindingKind] = {
    # Messages
    "refused": FindingKind(
        "error", "Messages could not be read and were left out.", "See the reason beside it; `fusion log recover`."
    ),
    "truncated": FindingKind(
        "error", "The recording is not whole: its writer was cut off.", "Make it whole: fusion log recover LOG OUT.mcap"
    ),
    "gap": FindingKind(
        "error", "A sensor was silent for several of its periods.", "Results in the gap lack that sensor; record again."
    ),
    "dropped": FindingKind(
        "error",
        "Single messages are missing here and there, by the sensor's own period.",
        "Look for an overloaded driver, network or recorder.",
    ),
    "lost": FindingKind(
        "error",
        "Sequence numbers, or a device's own times, say that messages or packets are missing.",
        "The recorder or the network was too slow.",
    ),
    "late-start": FindingKind(
        "error",
        "A sensor begins long after the others.",
        "Cut the recording with `fusion log cut --start`, or wait for every driver before recording.",
    ),
    "early-end": FindingKind(
        "error",
        "A sensor falls silent long before the others end.",
        "Look into its driver's log; cut the recording with `fusion log cut --end`.",
    ),
    "irregular-rate": FindingKind(
        "warning", "A few single messages are missing, by the sensor's own period.", "Nothing, if they are few."
    ),
    "rate-change": FindingKind(
        "warning",
        "A sensor's rate changed while it ran.",
        "Look at its exposure time, its host's load, its link and its settings.",
    ),
    "implausible-rate": FindingKind(
        "error",
        "Messages come faster than any sensor of this kind.",
        "Two devices are mixed in one topic, or one scan is cut into pieces; tell them apart by address and port.",
    ),
    "empty-topic": FindingKind("warning", "A topic has no message.", "Was its driver running while this was recorded?"),
    "nothing-to-read": FindingKind(
        "error", "No topic of the recording is read.", "Convert its topics to types of docs/logs.md."
    ),
    "unread-sensor": FindingKind(
        "warning", "A sensor's topic is of a type that is not read.", "Convert it to a type of docs/logs.md."
    ),
    "unread-topic": FindingKind(
        "note", "A topic is of a type that is not read.", "Nothing, if no sensor is among them."
    ),
    # Stamps and clocks
    "unstamped": FindingKind(
        "error", "Messages bear no capture stamp, or one that no clock can have.", "Let the driver stamp its messages."
    ),
    "backward-stamp": FindingKind(
        "error", "A capture stamp lies before the one before it.", "The sensor's clock jumped; check its time source."
    ),
    "repeated-stamp": FindingKind(
        "error", "Messages bear the same capture stamp as the one before.", "The driver does not stamp each message."
    ),
    "future-stamp": FindingKind(
        "error",
        "Messages are stamped later than they arrived.",
        "Synchronise the sensor's clock, or let its driver stamp on arrival.",
    ),
    "clock-offset": FindingKind(
        "error", "Stamps and arrivals differ by more than any transport takes.", "Synchronise the sensor's clock."
    ),
    "clock-jump": FindingKind(
        "error", "A clock leapt: its stamps leave the arrivals at once.", "Slew clocks, do not step them, on the road."
    ),
    "clock-drift": FindingKind(
        "warning", "The sensor's clock runs faster or slower than the recorder's.", "Discipline it by PTP, NTP or PPS."
    ),
    "late-stream": FindingKind(
        "warning",
        "Messages come long after their capture.",
        "Raise the aligner's deadline, or look for what delays them.",
    ),
    # Calibration
    "no-transform": FindingKind(
        "error",
        "Where this sensor sits is not known.",
        "Give a rig with --rig, or the part of the bag with /tf_static.",
    ),
    "moving-mount": FindingKind(
        "error",
        "A sensor moves against the vehicle; its mount is not one place.",
        "Give the place of this recording with --rig, if it stood still.",
    ),
    "assumed-base": FindingKind(
        "warning", "The vehicle's frame was found by its place in the tree.", "Name it base_link, or give a rig file."
    ),
    "no-lens": FindingKind(
        "error", "A camera has no intrinsics.", "Record its camera_info too, or give a rig file with --rig."
    ),
    "unknown-lens": FindingKind(
        "error", "The lens model is not one that this program has.", "Give a rig with a model it has, or rectify first."
    ),
    "lens-size": FindingKind(
        "error",
        "Pictures are of another size than the intrinsics.",
        "Give the intrinsics of these pictures with --rig.",
    ),
    "lens-crop": FindingKind(
        "note",
        "Pictures are a few pixels smaller or larger than the intrinsics: cut or padded, not scaled.",
        "Nothing, unless the cut is at the left or the top.",
    ),
    "no-calibration": FindingKind(
        "warning",
        "A sensor has no place or lens, and no LiDAR beside it needs one: its messages are read, nothing is placed.",
        "Give a rig file with --rig before results are taken from it.",
    ),
    "nominal-angles": FindingKind(
        "warning",
        "Where this LiDAR's lasers look is known of its model only: its own lasers may look tenths of a degree aside.",
        "Give its angle or correction file with `angles`, or record what it sends of itself (RoboSense: DIFOP) too.",
    ),
    "microphone-count": FindingKind(
        "error",
        "Sound has another number of channels than the rig has microphones.",
        "Give each channel its place under [audio.NAME] of the rig file.",
    ),
    # Files
    "not-closed": FindingKind(
        "warning",
        "The recorder did not close this file: it was stopped, or still records.",
        "What it still held in memory is not in it; nothing else.",
    ),
    "missing-part": FindingKind(
        "error", "A part of this recording is not there.", "Put the part named beside the others."
    ),
    "later-part": FindingKind(
        "warning",
        "The recording begins with a later part.",
        "Transforms and calibration may be in the earlier parts; put them beside it.",
    ),
    "other-parts": FindingKind("note", "This file is one part of a recording.", "Open the folder for all of it."),
    "other-files": FindingKind(
        "warning", "Files beside the recording are none of its parts, and were not read.", "Open them by their names."
    ),
    "unread-metadata": FindingKind(
        "warning", "metadata.yaml cannot be read; the files are read without it.", "`ros2 bag reindex` writes it anew."
    ),
    # Content
    "point-time": FindingKind(
        "warning", "The times of points within a scan fit no unit and were left out.", "See docs/logs.md, point times."
    ),
    "intensity-scale": FindingKind(
        "warning", "The scale of a LiDAR's intensity is not known for sure.", "See docs/logs.md, intensity."
    ),
    "no-intensity": FindingKind(
        "warning", "All points have intensity zero.", "Let the driver send intensity, if the sensor measures it."
    ),
    "empty-scan": FindingKind(
        "error", "Scans have no point with a place.", "Look at the sensor's window, its range limits and its driver."
    ),
    "not-finite": FindingKind(
        "error", "Poses or velocities are not finite numbers.", "Look at the program that estimates the ego motion."
    ),
    "short-scan": FindingKind(
        "warning",
        "Scans have far fewer points, or last far shorter, than this topic's usual ones.",
        "Packets were lost, or two sensors are mixed.",
    ),
    "black-picture": FindingKind(
        "warning", "Pictures are black throughout.", "Look at the lens cap, the exposure and the driver."
    ),
    "clipped-sound": FindingKind("warning", "Sound is at full scale for a long time.", "Turn the gain down."),
    "silent-sound": FindingKind("warning", "Sound is zero throughout.", "Is the microphone connected?"),
    "mixed-frames": FindingKind(
        "error",
        "Messages of one topic name several frames; all are placed as the first.",
        "Several sensors share the topic: give each its own before recording.",
    ),
    "mixed-senders": FindingKind(
        "error",
        "Packets of several LiDARs come where one was named.",
        "Say which with `sender` (its address) or `port` (where its packets arrive).",
    ),
    "unread-packets": FindingKind(
        "error", "Packets of a capture could not be read.", "Capture Ethernet or `-i any`, whole: tcpdump -s 0."
    ),
    "picture-sizes": FindingKind(
        "warning",
        "Pictures of one topic differ in size.",
        "Two cameras are mixed in one topic, or its driver was set anew; record them apart.",
    ),
    "repeated-packets": FindingKind(
        "note",
        "A capture holds packets twice; each was read once.",
        "Nothing; or capture one interface: tcpdump -i eth0",
    ),
    "longer-than-header": FindingKind(
        "warning",
        "A file holds more than its header says; all of it was read.",
        "Its writer was stopped before it had written the length; nothing is lost.",
    ),
    "broken-samples": FindingKind(
        "warning", "Sound samples that are no number were read as 0.", "Look at the program that wrote the file."
    ),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found. `topic` is "" where it concerns the whole; `count` is how often."""

    name: str  # a key of KINDS
    topic: str
    detail: str  # what and how much, in words: "3.0 s without a message from 12.4 s on"
    count: int = 1

    @property
    def severity(self) -> str:
        """One of SEVERITIES."""
        return KINDS[self.name].severity

    @property
    def remedy(self) -> str:
        """What to do about it."""
        return KINDS[self.name].remedy

    def text(self) -> str:
        """One line: severity, name, topic, detail, and what to do."""
        where = f"{self.topic}: " if self.topic else ""
        often = f", {self.count} times" if self.count > 1 else ""
        return f"{self.severity} [{self.name}] {where}{self.detail.rstrip(' .')}{often}. {self.remedy}"


@dataclass(slots=True)
class Findings:
    """A collection of findings; the same name, topic and detail is counted, not repeated."""

    counts: dict[tuple[str, str, str], int] = field(default_factory=dict)

    def add(self, name: str, topic: str, detail: str, count: int = 1) -> None:
        """Note something found, of a kind in KINDS. Raises KeyError for other names."""
        KINDS[name]
        key = name, topic, detail
        self.counts[key] = self.counts.get(key, 0) + count

    def update(self, other: Iterable[Finding]) -> None:
        """Add all of `other`."""
        for item in other:
            self.add(item.name, item.topic, item.detail, item.count)

    def __iter__(self) -> Iterator[Finding]:
        """Errors first, then warnings, then notes; within these in the order in which they were noted."""
        found = [Finding(*key, count) for key, count in self.counts.items()]
        return iter(sorted(found, key=lambda item: SEVERITIES.index(item.severity)))

    def __len__(self) -> int:
        return len(self.counts)

    def known(self) -> set[tuple[str, str]]:
        """(name, topic) of all, so that a second look does not repeat the first."""
        return {(name, topic) for name, topic, _ in self.counts}

    def without(self, allowed: Collection[str]) -> tuple[Finding, ...]:
        """All whose name is not allowed, errors first."""
        return tuple(item for item in self if item.name not in allowed)

    def wrong(self, allowed: Collection[str] = ()) -> bool:
        """Whether an error is among them whose name is not allowed."""
        return any(item.severity == "error" and item.name not in allowed for item in self)


def table() -> str:
    """All kinds as the rows of a Markdown table, as docs/findings.md has them."""
    ordered = sorted(KINDS.items(), key=lambda item: (SEVERITIES.index(item[1].severity), item[0]))
    return "\n".join(f"| `{name}` | {kind.severity} | {kind.meaning} | {kind.remedy} |" for name, kind in ordered)
