"""A log as a picture: when each topic spoke, where it fell silent, and how late its messages came."""

from __future__ import annotations

import numpy as np

from fusion_pipeline.arrays import Bytes
from fusion_pipeline.clock import SECOND_NS
from fusion_pipeline.dashboard.canvas import FAINT, GRID, PANEL, TEXT, Canvas, Rect
from fusion_pipeline.logs.survey import Survey, Topic

WIDTH, ROW, LEFT, RIGHT, TOP = 1400, 64, 210, 190, 58
BAR, LATE = 24, (255, 236, 180)
SPEAKS, SILENT = (38, 198, 180), (244, 98, 98)


def timeline(survey: Survey, verdict: str) -> Bytes:
    """(H, 1400, 3) BGR. `verdict` is said in the title."""
    page = Canvas(WIDTH, TOP + ROW * max(len(survey.topics), 1) + 30)
    start = min((topic.first_ns for topic in survey.topics), default=0)
    length = max(survey.seconds, 1e-3)
    page.text(16, 26, f"{survey.path.name}   {survey.seconds:.1f} s   {verdict}", TEXT if survey.sound else SILENT, 16)
    for share in np.linspace(0, 1, 9):
        x = LEFT + share * (WIDTH - LEFT - RIGHT)
        page.line(np.asarray([[x, TOP - 6], [x, TOP + ROW * len(survey.topics)]]), GRID, 0.5)
        page.text(x - 12, TOP - 12, f"{share * length:.1f} s", FAINT, 10)
    for number, topic in enumerate(survey.topics):
        _row(page, topic, TOP + number * ROW, start, length)
    return page.image()


def _row(page: Canvas, topic: Topic, y: float, start: int, length: float) -> None:
    span = WIDTH - LEFT - RIGHT

    def at(time_ns: int) -> float:
        return LEFT + float(np.clip((time_ns - start) / SECOND_NS / length, 0, 1)) * span

    page.rect(Rect(8, y + 4, WIDTH - 16, ROW - 8), PANEL)
    page.text(18, y + 27, topic.name, TEXT, 14)
    page.text(18, y + 46, f"{topic.count} x {topic.kind}, {topic.megabytes:.1f} MB", FAINT, 10)
    page.rect(Rect(at(topic.first_ns), y + 20, max(at(topic.last_ns) - at(topic.first_ns), 1.5), 24), SPEAKS, 0.75)
    if len(topic.latest) > 1:
        _curve(page, [(at(time_ns), late) for time_ns, late in topic.latest], y + 20)
    for first, last in topic.gaps:
        page.rect(Rect(at(first), y + 16, max(at(last) - at(first), 2.0), 32), SILENT)
    x = WIDTH - RIGHT + 14
    faults = ((len(topic.gaps), "gaps"), (topic.backwards, "back"), (topic.missing, "missing"))
    wrong = ", ".join(f"{count} {name}" for count, name in faults if count)
    page.text(x, y + 24, f"{topic.rate_hz:.1f} Hz, {wrong or 'no gap'}", SILENT if wrong else TEXT, 11)
    page.text(x, y + 44, f"late {topic.latency_ms[0]:.1f}, at most {topic.latency_ms[1]:.0f} ms", FAINT, 10)


def _curve(page: Canvas, points: list[tuple[float, float]], y: float) -> None:
    """Latency over time, from 0 at the bar's foot to the topic's greatest at its head."""
    most = max(max(late for _, late in points), 1e-3)
    line = [(x, y + BAR - 2 - (BAR - 4) * max(late, 0.0) / most) for x, late in points]
    page.line(np.asarray(line), LATE, 1.2)
