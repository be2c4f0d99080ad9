"""What can be said of a simulated moment, in words: facts of the scene graph, each in several phrases.

A caption tells some facts of a moment in any order. Which facts hold of which moment is known, so that a caption counts
as right for every moment of which all its facts hold, not for the one alone that it was written for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fusion_pipeline.arrays import Array, Floats
from fusion_pipeline.encode.text import LENGTH, Vocabulary, words_of
from fusion_pipeline.train.accuracy import CLASSES
from fusion_pipeline.train.data import COLS, ROWS, STEP_M
from fusion_pipeline.train.lessons import MIN_PIXELS, MIN_POINTS
from fusion_pipeline.train.rides import AUDIBLE_DB, Ride
from fusion_pipeline.world.sources import LABELS

NEAR_M, FAR_M = 12.0, 35.0
AHEAD_RAD = np.deg2rad(17.0)
MOVES_MPS = 1.0
DISTANCES_M = tuple(range(5, 65, 5))
SPEEDS_KMH = (10, 20, 30, 40, 50)
COUNTS = {"car": 9, "truck": 3, "pedestrian": 6, "two-wheeler": 5, "other": 2}
CROWD = 16  # visible things
LIDAR, CAMERA, AUDIO = (1, 0, 0), (0, 1, 0), (0, 0, 1)
_SEES = (1, 1, 0)
_NUMERALS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_NOUNS = {
    "car": (("car", "cars"), ("automobile", "automobiles")),
    "truck": (("truck", "trucks"), ("lorry", "lorries"), ("bus or truck", "buses or trucks")),
    "pedestrian": (("pedestrian", "pedestrians"), ("person", "people"), ("walker", "walkers")),
    "two-wheeler": (("two-wheeler", "two-wheelers"), ("cyclist", "cyclists"), ("bicycle", "bicycles"),
                    ("motorcycle", "motorcycles"), ("bike", "bikes")),
    "other": (("small obstacle", "small obstacles"), ("other object", "other objects")),
}  # fmt: skip
_SOUNDS = {
    "siren": ("siren", "emergency siren", "ambulance siren", "police siren"), "horn": ("horn", "car horn", "honking"),
    "engine": ("engine", "engine noise", "motor"), "tyres": ("tyres", "tyre noise", "tires"),
    "beeper": ("reversing beeper", "beeper", "beeping", "backup alarm"), "bell": ("bell", "bicycle bell", "ringing"),
    "footsteps": ("footsteps", "steps"), "voice": ("voice", "voices", "somebody talking", "speech"),
}  # fmt: skip
_SIDES = {
    "ahead": ("ahead", "in front", "straight ahead"), "left": ("on the left", "to the left", "left"),
    "right": ("on the right", "to the right", "right"),
}  # fmt: skip
_WAYS = (
    ("ahead", "in front", "the front"), ("ahead on the left", "the front left"), ("the left", "the left side"),
    ("the left behind", "behind on the left", "the rear left"), ("behind", "the rear", "the back"),
    ("the right behind", "behind on the right", "the rear right"), ("the right", "the right side"),
    ("ahead on the right", "the front right"),
)  # fmt: skip
_BANDS = {"near": ("near", "close", "nearby"), "": ("",), "far": ("far", "far away", "distant")}
Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that may be true of a moment."""

    key: Key
    phrases: tuple[str, ...]
    senses: tuple[int, int, int]  # 1 for LiDAR, camera, audio where that sense can tell
    weight: float = 1.0  # how readily it is told


def _about(label: str) -> Iterator[Fact]:
    nouns = _NOUNS[label]
    one, many = tuple(n for n, _ in nouns), tuple(n for _, n in nouns)
    yield Fact(("count", label, "0"), tuple(f"{no} {n}" for n in many for no in ("no", "without")), _SEES, 0.4)
    for k in range(1, COUNTS[label] + 1):
        name = one if k == 1 else many
        yield Fact(("count", label, str(k)), tuple(f"{c} {n}" for n in name for c in (_NUMERALS[k], str(k))), _SEES)
    yield Fact(("many", label), tuple(f"{m} {n}" for n in many for m in ("many", "lots of", "several")), _SEES, 0.7)
    for side, places in _SIDES.items():
        for band, fars in _BANDS.items():
            yield Fact(("at", label, side, band), tuple(f"a {n} {f} {p}".replace("  ", " ")
                       for n in one for f in fars for p in places), _SEES, 1.5)  # fmt: skip
        for metres in DISTANCES_M:
            yield Fact(("metres", label, side, str(metres)), tuple(
                f"a {n} {metres} {m} {p}" for n in one for m in ("metres", "m", "meters") for p in places
            ), _SEES, 1.0)  # fmt: skip
    walks = label == "pedestrian"
    goes = ("moving", "walking" if walks else "driving")
    rests = ("standing", "stopped", "waiting" if walks else "parked")
    yield Fact(("moving", label), tuple(f"a {w} {n}" for n in one for w in goes), _SEES)
    yield Fact(("standing", label), tuple(f"a {w} {n}" for n in one for w in rests), _SEES)
    yield Fact(("oncoming", label), tuple(f"{w} {n}" for n in one for w in ("an oncoming", "an approaching")), _SEES)
    yield Fact(("crossing", label), tuple(f"a {n} crossing" for n in one) + tuple(f"a crossing {n}" for n in one),
               _SEES)  # fmt: skip


def _heard(label: str) -> Iterator[Fact]:
    nouns = _SOUNDS[label]
    yield Fact(("heard", label), tuple(f"{n}{c}" for n in nouns for c in ("", " heard", " to be heard")), AUDIO, 1.5)
    for way, names in enumerate(_WAYS):
        yield Fact(("heard", label, str(way)), tuple(f"a {n} from {w}" for n in nouns for w in names), AUDIO, 2.5)


def _around() -> Iterator[Fact]:
    yield Fact(("empty",), ("an empty street", "empty road", "nothing on the road"), _SEES)
    yield Fact(("crowded",), ("a crowded street", "busy street", "dense traffic", "crowded road"), _SEES)
    yield Fact(("fog",), ("fog", "foggy", "mist", "foggy weather"), (1, 1, 0), 3.0)
    yield Fact(("rain",), ("rain", "rainy", "raining", "wet weather"), (1, 1, 0), 3.0)
    yield Fact(("heavy rain",), ("heavy rain", "pouring rain"), (1, 1, 0), 3.0)
    yield Fact(("clear",), ("clear weather", "dry weather", "good weather"), (1, 1, 0), 0.3)
    yield Fact(("night",), ("at night", "night", "dark", "in darkness"), CAMERA, 3.0)
    yield Fact(("day",), ("by day", "daylight", "daytime"), CAMERA, 0.3)
    yield Fact(("own", "0"), ("we stand", "own vehicle stands still", "ego stopped"), (1, 1, 1))
    yield Fact(("own", "slow"), ("we drive slowly", "own vehicle slow"), (1, 1, 1))
    yield Fact(("own", "fast"), ("we drive fast", "own vehicle fast"), (1, 1, 1))
    for speed in SPEEDS_KMH:
        said = (f"driving at {speed} km per hour", f"own speed {speed} km h", f"we drive {speed} km h")
        yield Fact(("own", str(speed)), said, (1, 1, 1), 0.7)
    yield Fact(("hidden",), ("a siren out of sight", "a hidden siren", "siren of an unseen vehicle"), (1, 1, 1), 2.0)
    yield Fact(("quiet",), ("quiet", "silence", "no sound", "nothing to hear"), AUDIO, 0.7)


FACTS: tuple[Fact, ...] = (
    *(fact for label in CLASSES for fact in _about(label)), *(fact for label in LABELS for fact in _heard(label)),
    *_around(),
)  # fmt: skip
INDEX: dict[Key, int] = {fact.key: k for k, fact in enumerate(FACTS)}
SENSED = np.asarray([fact.senses for fact in FACTS], bool)  # (P, 3)
_WEIGHTS = np.asarray([fact.weight for fact in FACTS])


def vocabulary() -> Vocabulary:
    """Every word that captions may have."""
    return Vocabulary.of([*(phrase for fact in FACTS for phrase in fact.phrases), "and", "while", "then", "seen"])


def facts_of(ride: Ride) -> Array:
    """(P,) bool: which of FACTS hold of a moment. Things that neither LiDAR nor camera sees well do not count."""
    boxes = ride.boxes
    inside = (boxes[:, 0] > 0) & (boxes[:, 0] < ROWS * STEP_M) & (np.abs(boxes[:, 1]) < COLS * STEP_M / 2)
    seen = inside & ((ride.points >= MIN_POINTS) | (ride.pixels >= MIN_PIXELS))
    keys = [*_things(boxes[seen], ride.labels[seen]), *_sounding(ride), *_conditions(ride)]
    out = np.zeros(len(FACTS), bool)
    out[[INDEX[key] for key in keys]] = True
    return out


def _things(boxes: Floats, labels: Array) -> Iterator[Key]:
    for k, label in enumerate(CLASSES):
        own = boxes[labels == k]
        if len(own) <= COUNTS[label]:
            yield ("count", label, str(len(own)))
        if len(own) > 3 if label in ("car", "pedestrian") else len(own) > 2:
            yield ("many", label)
        for box in own.tolist():
            reach, bearing = float(np.hypot(box[0], box[1])), float(np.arctan2(box[1], box[0]))
            side = "ahead" if abs(bearing) < AHEAD_RAD else ("left" if bearing > 0 else "right")
            yield ("at", label, side, "")
            if reach < NEAR_M or reach > FAR_M:
                yield ("at", label, side, "near" if reach < NEAR_M else "far")
            metres = min(DISTANCES_M, key=lambda m: abs(m - reach))
            if abs(metres - reach) <= 2.5:
                yield ("metres", label, side, str(metres))
            speed = float(np.hypot(box[7], box[8]))
            yield ("moving", label) if speed > MOVES_MPS else ("standing", label)
            if speed > MOVES_MPS and box[7] < -0.8 * speed:
                yield ("oncoming", label)
            elif speed > MOVES_MPS and abs(box[8]) > 0.8 * speed:
                yield ("crossing", label)
    if not len(boxes):
        yield ("empty",)
    if len(boxes) >= CROWD:
        yield ("crowded",)


def _sounding(ride: Ride) -> Iterator[Key]:
    audible = ride.sounds[ride.sounds[:, 2] >= AUDIBLE_DB]
    for label, azimuth, _ in audible.tolist():
        name = LABELS[int(label)]
        yield ("heard", name)
        yield ("heard", name, str(round(azimuth / (np.pi / 4)) % 8))
    if ride.siren_hidden:
        yield ("hidden",)
    if not len(audible):
        yield ("quiet",)


def _conditions(ride: Ride) -> Iterator[Key]:
    visibility_m, rain_mm_h, night, speed_mps = ride.conditions.tolist()
    if visibility_m > 0:
        yield ("fog",)
    if rain_mm_h > 0:
        yield ("rain",)
    if rain_mm_h > 12:
        yield ("heavy rain",)
    if visibility_m <= 0 and rain_mm_h <= 0:
        yield ("clear",)
    yield ("night",) if night else ("day",)
    kmh = 3.6 * speed_mps
    if kmh < 1.5:
        yield ("own", "0")
        return
    yield ("own", "slow") if kmh < 15 else ("own", "fast") if kmh > 30 else ("own", str(10 * round(kmh / 10)))
    near = str(10 * round(kmh / 10))
    if near in {str(s) for s in SPEEDS_KMH}:
        yield ("own", near)


def caption(truth: Array, rng: np.random.Generator, most: int = 6) -> tuple[str, Array]:
    """A text of at most LENGTH words that tells up to `most` facts of those that hold (P,) bool; and which it tells."""
    weights = _WEIGHTS * truth
    order = rng.choice(len(FACTS), min(most, int(truth.sum())), replace=False, p=weights / weights.sum())
    parts, told, words = list[str](), list[int](), 0
    for k in order.tolist():
        phrases = FACTS[k].phrases
        phrase = phrases[int(rng.integers(len(phrases)))]
        length = len(words_of(phrase)) + (1 if parts else 0)
        if words + length > LENGTH:
            continue
        parts.append(phrase)
        told.append(k)
        words += length
    joint = str(rng.choice(np.asarray([", ", ", ", " and ", ", and "])))
    return re.sub(r"\ba (?=[aeiou])", "an ", joint.join(parts)), np.asarray(sorted(told), np.int64)


def holding(told: Array, truth: Array) -> Array:
    """(M, B) bool: of which moments (B, P) all facts hold that each of M captions (M, P) tells."""
    return np.asarray(told.astype(np.float32) @ (~truth).astype(np.float32).T == 0)
