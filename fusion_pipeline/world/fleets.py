"""What drives and walks in a region: shapes of cars, and sizes of everybody by mean and spread.

Figures are rounded from makers' data sheets of common models (Europe: Polo, Golf, Passat, Tiguan class; United
States: Civic, Camry, RAV4, Explorer, F-150 class) and from the legal limits for long vehicles (EU directive 96/53/EC:
16.5 x 2.55 m, 4 m high; US 23 CFR 658: 2.6 m wide, a 16.15 m semitrailer). Widths are of the body without mirrors;
those of European cars are 10 cm under the data sheets: people who draw boxes around scans leave out the doors' bulge.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass

import numpy as np

Size = tuple[float, float, float]  # length, width, height in metres


@dataclass(frozen=True, slots=True)
class CarStyle:
    """A side view; lengths are shares of the car's length counted from the rear, heights shares of its height."""

    name: str
    cowl: float  # where the windscreen meets the hood
    roof_front: float
    roof_rear: float
    tail: float  # where the rear window meets the body
    belt: float  # height under the windows
    hood: float  # height of the hood at the nose
    height_m: float  # typical height
    length_m: float  # typical length
    width_m: float  # typical width
    share: float = 1.0  # how common, relative to the others

    @property
    def size_m(self) -> Size:
        """Typical length, width, height."""
        return self.length_m, self.width_m, self.height_m


@dataclass(frozen=True, slots=True)
class Sizes:
    """Of one kind of thing."""

    label: str  # the class it belongs to
    mean: Size
    spread: Size  # standard deviations


@dataclass(frozen=True, slots=True, eq=False)
class Fleet:
    """The cars and everything else of a region."""

    name: str
    styles: tuple[CarStyle, ...]
    sizes: dict[str, Sizes]  # by kind
    car_spread: Size = (0.25, 0.07, 0.06)

    def style(self, rng: np.random.Generator) -> CarStyle:
        """One of the styles, as common as it is."""
        shares = np.asarray([style.share for style in self.styles])
        return self.styles[int(rng.choice(len(shares), p=shares / shares.sum()))]

    def usual(self, kind: str) -> tuple[str, Size]:
        """Class and mean size of a kind that is no car."""
        return self.sizes[kind].label, self.sizes[kind].mean

    def drawn(self, rng: np.random.Generator, mean: Size, spread: Size) -> Size:
        """A size about a mean, within 2.2 standard deviations and never absurdly small."""
        values = [m + float(np.clip(rng.normal(), -2.2, 2.2)) * s for m, s in zip(mean, spread, strict=True)]
        return max(values[0], 0.35), max(values[1], 0.25), max(values[2], 0.4)


# Vans count as cars, like KITTI's benchmark, which takes a van found as car for neither right nor wrong.
_PEOPLE = {
    "pedestrian": Sizes("pedestrian", (0.8, 0.62, 1.75), (0.18, 0.08, 0.1)),
    "two-wheeler": Sizes("two-wheeler", (1.78, 0.62, 1.72), (0.14, 0.1, 0.1)),
    "motorcycle": Sizes("two-wheeler", (2.1, 0.8, 1.6), (0.15, 0.06, 0.1)),
    "other": Sizes("other", (1.2, 0.45, 0.95), (0.4, 0.15, 0.35)),
}

EUROPE = Fleet(
    "europe",
    (
        CarStyle("hatchback", 0.76, 0.60, 0.10, 0.03, 0.62, 0.50, 1.49, 3.85, 1.627),
        CarStyle("city", 0.82, 0.66, 0.08, 0.02, 0.60, 0.52, 1.50, 3.50, 1.606),
        CarStyle("sedan", 0.72, 0.55, 0.30, 0.15, 0.64, 0.50, 1.44, 4.40, 1.66),
        CarStyle("estate", 0.73, 0.57, 0.08, 0.01, 0.62, 0.50, 1.48, 4.45, 1.663),
        CarStyle("suv", 0.76, 0.62, 0.09, 0.02, 0.64, 0.56, 1.70, 4.30, 1.654),
        CarStyle("minivan", 0.84, 0.68, 0.07, 0.02, 0.58, 0.50, 1.66, 4.20, 1.648),
        CarStyle("coupe", 0.68, 0.50, 0.30, 0.08, 0.66, 0.52, 1.38, 4.15, 1.645),
    ),
    {
        "van": Sizes("car", (4.9, 1.9, 2.1), (0.5, 0.1, 0.22)),
        "truck": Sizes("truck", (8.5, 2.5, 3.2), (2.0, 0.1, 0.35)),
        "trailer": Sizes("truck", (16.2, 2.55, 3.9), (0.3, 0.0, 0.1)),
        "bus": Sizes("truck", (11.5, 2.53, 3.1), (1.5, 0.04, 0.15)),
        "articulated bus": Sizes("truck", (17.9, 2.53, 3.1), (0.3, 0.02, 0.1)),
        **_PEOPLE,
    },
)

UNITED_STATES = Fleet(
    "us",
    (
        CarStyle("compact", 0.73, 0.56, 0.28, 0.12, 0.64, 0.50, 1.42, 4.65, 1.80, 1.2),
        CarStyle("sedan", 0.72, 0.56, 0.30, 0.13, 0.64, 0.50, 1.45, 4.90, 1.84, 1.2),
        CarStyle("crossover", 0.75, 0.61, 0.09, 0.02, 0.63, 0.55, 1.69, 4.62, 1.86, 2.0),
        CarStyle("suv", 0.76, 0.63, 0.08, 0.02, 0.63, 0.58, 1.80, 5.05, 2.00, 1.2),
        CarStyle("pickup", 0.70, 0.58, 0.42, 0.40, 0.62, 0.58, 1.93, 5.85, 2.03, 1.6),
        CarStyle("minivan", 0.84, 0.69, 0.06, 0.02, 0.57, 0.50, 1.75, 5.15, 2.00, 0.5),
        CarStyle("muscle", 0.64, 0.48, 0.28, 0.08, 0.68, 0.54, 1.38, 4.80, 1.92, 0.3),
    ),
    {
        "van": Sizes("car", (5.6, 2.03, 2.4), (0.4, 0.08, 0.3)),
        "truck": Sizes("truck", (9.0, 2.55, 3.5), (2.0, 0.05, 0.35)),
        "trailer": Sizes("truck", (21.0, 2.6, 4.1), (1.5, 0.0, 0.05)),
        "bus": Sizes("truck", (12.2, 2.59, 3.15), (0.8, 0.03, 0.12)),
        "articulated bus": Sizes("truck", (18.3, 2.59, 3.2), (0.3, 0.02, 0.1)),
        **_PEOPLE,
    },
)

FLEETS = {fleet.name: fleet for fleet in (EUROPE, UNITED_STATES)}


def fleet(name: str) -> Fleet:
    """The fleet called `name`. Raises ValueError naming the nearest and all."""
    if name in FLEETS:
        return FLEETS[name]
    near = difflib.get_close_matches(name, FLEETS, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]}? " if near else ""
    raise ValueError(f"no fleet is called {name!r}; {hint}known: {', '.join(FLEETS)}")
