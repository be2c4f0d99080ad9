"""The terminal's tables: nodes, boxes, sounds, latency."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from rich.markup import escape
from rich.table import Table

from fusion_pipeline.dashboard.board import NodeBoard, losses, total
from fusion_pipeline.messages import Boxes, Count, Detections, StageTiming, Tracks

STATE_STYLES = {
    "ready": "green", "running": "green", "starting": "cyan", "degraded": "yellow", "waiting": "yellow",
    "stopping": "dim", "done": "dim", "stopped": "dim", "failed": "bold red", "stalled": "bold red",
}  # fmt: skip
MAX_OBJECTS = 8  # the nearest; more would push the table out of a usual terminal
_SIDES = ("ahead", "ahead left", "left", "behind left", "behind", "behind right", "right", "ahead right")


def nodes_table(states: Mapping[str, tuple[str, str]], boards: Mapping[str, NodeBoard], title: str) -> Table:
    """One row for each node: (state, reason) of its process, rates, latency of its stages, losses."""
    table = Table(title=title, title_justify="left", title_style="bold", header_style="dim", border_style="dim")
    for column in ("node", "state"):
        table.add_column(column, no_wrap=True)
    table.add_column("rate", justify="right", no_wrap=True)
    table.add_column("stage", no_wrap=True)
    for column in ("p50 ms", "p95 ms", "dropped", "refused"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("detail", ratio=1)
    for label, (state, reason) in states.items():
        board = boards.get(label, NodeBoard())
        health = board.health
        if state == "running" and health is not None:
            state = health.state
        stages = board.timings()
        table.add_row(
            f"[bold]{escape(label)}[/]",
            f"[{STATE_STYLES.get(state, 'white')}]{state}[/]",
            _rates(board.rates_hz()),
            "\n".join(escape(timing.stage.removeprefix(f"{label}/")) for timing in stages),
            "\n".join(_ms(timing.p50_ms) for timing in stages),
            "\n".join(_ms(timing.p95_ms) for timing in stages),
            _losses(losses(health.dropped)) if health else "",
            _losses(health.refused) if health else "",
            escape(reason or (health.detail if health else "")),
        )
    return table


def objects_table(found: Tracks | Detections) -> Table:
    """The nearest boxes of one set."""
    boxes, names = found.boxes, found.class_names
    unseen_s = found.coasting_s if isinstance(found, Tracks) else ()
    shown = f"the nearest {MAX_OBJECTS} of {len(boxes)}" if len(boxes) > MAX_OBJECTS else str(len(boxes))
    table = Table(title=f"objects ({shown})", title_justify="left", header_style="dim", border_style="dim")
    table.add_column("id", justify="right")
    table.add_column("label", no_wrap=True, min_width=11)
    for column in ("score", "range m", "x m", "y m", "speed m/s"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in nearest_rows(boxes)[:MAX_OBJECTS]:
        x, y = boxes.centers_m[row, :2].tolist()
        track = int(boxes.track_ids[row])
        table.add_row(
            str(track) if track >= 0 else "",
            escape(label_of(names, int(boxes.labels[row]))) + _unseen(unseen_s, row),
            f"{boxes.scores[row]:.2f}",
            f"{math.hypot(x, y):.1f}",
            f"{x:.1f}",
            f"{y:.1f}",
            f"{math.hypot(*boxes.velocities_mps[row].tolist()):.1f}",
        )
    return table


def _unseen(unseen_s: Sequence[float], row: int) -> str:
    """How long a track has not been seen; nothing where it was seen in this set."""
    return f" [yellow]unseen {unseen_s[row]:.1f} s[/]" if unseen_s and unseen_s[row] > 0 else ""


def sounds_table(found: Tracks | Detections) -> Table:
    """The sounds of one set and where they come from."""
    table = Table(title="sounds", title_justify="left", header_style="dim", border_style="dim")
    table.add_column("label", no_wrap=True)
    table.add_column("score", justify="right")
    table.add_column("from", no_wrap=True)
    for sound in found.sounds:
        degrees = math.degrees(sound.azimuth_rad)
        table.add_row(escape(sound.label), f"{sound.score:.2f}", f"{degrees:+.0f}° {side(sound.azimuth_rad)}")
    return table


def latency_table(stages: Iterable[StageTiming], title: str) -> Table:
    """Count, median, 95th percentile and maximum of each stage."""
    table = Table(title=title, title_justify="left", title_style="bold", header_style="dim", border_style="dim")
    table.add_column("stage", no_wrap=True)
    for column in ("count", "p50 ms", "p95 ms", "max ms"):
        table.add_column(column, justify="right", no_wrap=True)
    for timing in stages:
        whole = "" if "/" in timing.stage or " since " in timing.stage else "bold"
        row = (escape(timing.stage), str(timing.count), _ms(timing.p50_ms), _ms(timing.p95_ms), _ms(timing.max_ms))
        table.add_row(*row, style=whole)
    return table


def nearest_rows(boxes: Boxes) -> list[int]:
    """Row numbers by distance from the vehicle, nearest first."""
    distances = [math.hypot(x, y) for x, y in boxes.centers_m[:, :2].tolist()]
    return sorted(range(len(boxes)), key=distances.__getitem__)


def label_of(names: tuple[str, ...], label: int) -> str:
    """The name of a class; its number where the model has no name for it."""
    return names[label] if 0 <= label < len(names) else str(label)


def side(azimuth_rad: float) -> str:
    """A direction in words: 0 is ahead, positive to the left."""
    return _SIDES[round(azimuth_rad / (math.pi / 4)) % len(_SIDES)]


def _rates(rates: Mapping[str, float]) -> str:
    if len(rates) == 1:
        return f"{next(iter(rates.values())):.1f} Hz"
    return "\n".join(f"[dim]{escape(topic)}[/] {rate:.1f} Hz" for topic, rate in rates.items())


def _losses(counts: Iterable[Count]) -> str:
    counts = tuple(counts)
    return f"[yellow]{total(counts)}[/]" if total(counts) else "0"


def _ms(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.0f}" if value >= 1000 else f"{value:.1f}"
