"""The model card: what each shipped model is, what it was seen to do, and where it fails. Made of `Outcome`s alone."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from fusion_pipeline.bench.report import Figure, markdown
from fusion_pipeline.evaluate.kitti_frames import SITE
from fusion_pipeline.evaluate.outcome import Outcome
from fusion_pipeline.manifest import SHIPPED, Manifest, sha256_of
from fusion_pipeline.operations import OPERATIONS

COLUMNS = ("easy", "moderate", "hard", "0-20 m", "20-40 m", "40-70 m")
PLACES = {"kitti": "On real frames: KITTI", "simulated": "In simulation"}
HEAD = """# Models

Written by `fusion eval`, see [how to reproduce](#how-to-reproduce); not by hand. All weights are trained on the
project's own simulation alone: no recording and no label of anybody's went into them.

"""
LIMITS = """\
## Limits of all of them

* **Not for driving.** No figure here says that a vehicle, a person or a robot is safe.
* Real figures come from few labelled frames of one city, by day, in dry weather, with one kind of sensor. The interval
  beside each says how far other frames could lie; read it before the value. Over a handful of frames it is too narrow.
* KITTI labels what its camera shows, and not all of that; things that are there and not labelled count as false.
* From above and in space the benchmark's rules excuse nothing by DontCare regions, and neither do the tables.
* KITTI has no sound. What is said of sounds, their directions and hidden sirens is seen in simulation alone.
* Each KITTI frame is judged alone. Earlier sweeps, which give velocities, and tracks are judged in simulation alone.
* Corruptions of real frames are done to the recording: fog and snow by formulas, late pictures only where a drive has
  earlier ones. What the frames did not allow stands in the row of kinds; the mean is over the others.
* Without its LiDAR the network finds little in real streets: pictures of the simulator are plainer than the world, and
  distances of cars are a quarter wrong. A vehicle whose LiDAR fails must stop by other means.
* The grid reaches 70.4 m ahead and 40 m to both sides of the sensors; nothing is found behind.
* What follows was measured once, apart from the tables, on recordings that nothing here was tuned to (November
  2026).
* **Scores are not chances in real streets.** On 22 labelled KITTI frames their expected calibration error is 0.13
  for cars, 0.14 for pedestrians and 0.29 for two-wheelers, always too sure; 31 % of x errors lie within one sigma,
  not 68 %.
* **Inventions.** On the same frames 129 of 225 boxes with a score of 0.3 or more were on nothing that is labelled:
  posts, bollards, trunks, hedges, fences. Pedestrians and two-wheelers are confused, and their yaw is chance.
* **Lorries beside the vehicle are not seen.** A tanker 5 to 10 m away with 12,000 to 24,000 points on it was a
  truck in 2 of 50 sets of KITTI drive 0052, with a car and a two-wheeler invented inside it.
* **No warning of sirens.** 35 of 37 real clips without a siren (rooster, sneeze, sea, helicopter) gave one, with
  scores above a real siren's; real horns and engines were never named. Use the azimuths, not the names.
* **The mount must be right.** A LiDAR pitched by 1 degree more than its rig says costs cars' 3D AP@0.7 60 -> 2 to
  6.
* `fusion adapt` can make a network worse: on 28 unlabelled frames of a standing vehicle cars fell by 10 points of
  BEV AP@0.7 (68.3 -> 58.6), and on 25 frames of a slow drive of 5 s by 5 points (66.1 -> 61.0 on 16 labelled frames).
  It refuses logs with so few scenes, and writes nothing where scans held back and their mirror images agree less than
  before. That is no accuracy: it has been compared with labels on that one drive alone, where both fell.

"""
REPRODUCE = """\
## How to reproduce

    fusion eval KITTI simulated {options} --out figures.json --card MODELS.md
    fusion eval figures.json --card MODELS.md    # the same card, without measuring again

KITTI is a folder with the object benchmark or raw drives of the [KITTI Vision Benchmark Suite]({site}), as downloaded
(CC BY-NC-SA 3.0; used to judge, never to train, and not shipped). Simulated moments are rendered on the spot, from
seeds that no training has seen. Training: `fusion train`, see [docs/fusion.md](docs/fusion.md).

AP R40 is KITTI's average precision at 40 recalls. Intervals are 95 % bootstraps over frames. n is the number of
labelled things that count.
"""


def shipped() -> Iterator[Manifest]:
    """Manifests of the models whose files are here, the default one's family as sorted by name."""
    for path in sorted(SHIPPED.glob("*.toml")):
        if all((path.parent / file.path).is_file() for file in Manifest.parse(path).files.values()):
            yield Manifest.load(path)


def absent() -> Iterator[Manifest]:
    """Manifests of the models that are supported and not shipped."""
    for path in sorted(SHIPPED.glob("*.toml")):
        manifest = Manifest.parse(path)
        if not all((path.parent / file.path).is_file() for file in manifest.files.values()):
            yield manifest


def card(outcomes: Sequence[Outcome]) -> str:
    """The whole of MODELS.md. The same outcomes give the same text."""
    parts = [HEAD, *(_model(manifest, outcomes) for manifest in shipped()), *_absent(), LIMITS]
    said = next((one.about for one in outcomes if one.data == "simulated"), "")
    counts = [int(word) for word in said.split() if word.isdigit()] or [240, 4, 40]
    options = " ".join(f"--{name} {n}" for name, n in zip(("frames", "drives", "robust"), counts, strict=True))
    return "".join(parts) + REPRODUCE.format(options=options, site=SITE)


def _model(manifest: Manifest, outcomes: Sequence[Outcome]) -> str:
    rows = [("what it is", manifest.description), ("trained", manifest.source), ("licence", manifest.license),
            ("classes", ", ".join(manifest.classes))]  # fmt: skip
    for file in manifest.files.values():
        path = Path(file.path)
        rows += [("file", f"`{path.name}`, {path.stat().st_size / 1e6:.1f} MB"), ("sha256", f"`{sha256_of(path)}`")]
    names = {kind: name for name, kind in OPERATIONS.items()}
    rows += [("inputs", _tensors(manifest, "inputs")), ("outputs", _tensors(manifest, "outputs")),
             ("around it", ", ".join(f"`{names[type(stage)]}`" for stage in manifest.stages)),
             ("providers that may be asked for", ", ".join(manifest.requires.providers))]  # fmt: skip
    text = f"## {manifest.name}\n\n| | |\n|---|---|\n" + "".join(f"| {a} | {b} |\n" for a, b in rows) + "\n"
    mine = [one for one in outcomes if one.model == manifest.name]
    hashes = {Path(file.path).name: sha256_of(Path(file.path)) for file in manifest.files.values()}
    for one in mine:
        text += _outcome(one, dict(one.files) == hashes)
    lacking = [words for data, words in PLACES.items() if data not in {one.data for one in mine}]
    return text + "".join(f"### {words} ({manifest.name})\n\nNot judged yet.\n\n" for words in lacking)


def _tensors(manifest: Manifest, which: str) -> str:
    from fusion_pipeline.detect.network import Network

    named = []
    for file in (file for file in manifest.files.values() if file.path.endswith(".onnx")):
        named += [f"`{spec.name}` {' x '.join(str(n) for n in spec.shape)}" for spec in
                  getattr(Network(Path(file.path)), which)]  # fmt: skip
    return ", ".join(named)


def _outcome(one: Outcome, same: bool) -> str:
    text = f"### {PLACES.get(one.data, one.data)} ({one.model})\n\n"
    text += f"{one.about[:1].upper()}{one.about[1:]}; measured on {one.date}.\n"
    if not same:
        text += "\n**Measured with earlier weights of this model; measure again.**\n"
    tables = {title: rows for title, rows in one.sections.items() if rows}
    matrix = [row for title, rows in tables.items() if title.endswith("AP R40") for row in rows]
    text += "\n" + _matrix(matrix) if matrix else ""
    missed = [row for rows in tables.values() for row in rows if row.met is False]
    rest = [row for title, rows in tables.items() if not title.endswith("AP R40") for row in rows]
    targets = [row for row in matrix if row.target]
    if targets or rest:
        text += "\n" + markdown("", [*targets, *rest]).partition("\n\n")[2]
    if missed:
        text += "\nTargets not reached: " + "; ".join(
            f"{row.what} ({row.value:.3g} {row.unit}".rstrip() + f", wanted {row.target})" for row in missed
        ) + ".\n"  # fmt: skip
    return text + "\n"


def _matrix(rows: Iterable[Figure]) -> str:
    """AP R40 by level, and of moderate ones by distance: value, interval, n."""
    cells: dict[str, dict[str, Figure]] = {}
    for row in rows:
        what, _, column = row.what.rpartition(", ")
        cells.setdefault(what, {})[column] = row
    lines = ["| AP R40 [95 %] n | " + " | ".join(COLUMNS) + " | moderate, LiDAR alone | moderate, camera alone |",
             "|---" * (len(COLUMNS) + 3) + "|"]  # fmt: skip
    for what, found in cells.items():
        texts = [_cell(found.get(column)) for column in COLUMNS]
        moderate = found.get("moderate")
        beside = dict(moderate.beside) if moderate else {}
        lidar = f"{moderate.baseline:.1f}" if moderate and moderate.baseline is not None else ""
        camera = f"{beside['camera alone']:.1f}" if "camera alone" in beside else ""
        lines.append(f"| {what} | " + " | ".join([*texts, lidar, camera]) + " |")
    return "\n".join(lines) + "\n"


def _cell(figure: Figure | None) -> str:
    if figure is None:
        return ""
    ends = "" if figure.low is None or figure.high is None else f" [{figure.low:.0f}, {figure.high:.0f}]"
    return f"{figure.value:.1f}{ends} {figure.n}"


def _absent() -> Iterator[str]:
    rows: Mapping[str, Manifest] = {manifest.name: manifest for manifest in absent()}
    if rows:
        yield "## Supported, not shipped\n\n"
        for name, manifest in rows.items():
            for file in manifest.files.values():
                said = f"**{name}**: {manifest.description}. Licence {manifest.license}, [source]({file.url}), sha256 "
                said += f"`{file.sha256}`."
                yield textwrap.fill(said, 120, break_long_words=False, break_on_hyphens=False) + "\n\n"
