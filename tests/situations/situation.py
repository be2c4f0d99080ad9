"""What a situation is: an input as people have it, what must be true of its reading, and how that is found out."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fusion_pipeline.cli.dispatch import run
from fusion_pipeline.findings import Finding
from fusion_pipeline.logs.picture_codec import raw_picture
from fusion_pipeline.logs.reader import LogError, open_log
from fusion_pipeline.logs.survey import LogSurvey
from fusion_pipeline.messages import CameraFrame, LidarScan, Message
from fusion_pipeline.rig import Rig


@dataclass(slots=True)
class Outcome:
    """What `fusion log check` finds in a log, and its messages. `code` 2: refused, with `said`."""

    code: int
    said: str = ""
    findings: tuple[Finding, ...] = ()
    messages: dict[str, list[Message]] = field(default_factory=dict)
    rig: Rig | None = None

    @property
    def names(self) -> set[str]:
        """Names of all findings."""
        return {item.name for item in self.findings}

    @property
    def scans(self) -> list[LidarScan]:
        """Of all topics."""
        return [m for found in self.messages.values() for m in found if isinstance(m, LidarScan)]

    @property
    def frames(self) -> list[CameraFrame]:
        """Of all topics."""
        return [m for found in self.messages.values() for m in found if isinstance(m, CameraFrame)]


@dataclass(frozen=True, slots=True)
class Situation:
    """One row. `make` writes the input into an empty folder and names what is to be checked, or says what a verb did.

    code: the exit code of `fusion log check`. has: findings that must be among those found; lacks: that must not.
    counts: messages of each topic, of all topics where given. right: what else must be true.
    """

    what: str
    source: str
    kind: str
    now: str
    make: Callable[[Path], Path | Outcome]
    code: int = 0
    has: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    counts: Mapping[str, int] | None = None
    right: Callable[[Outcome], object] | None = None

    def faults(self, folder: Path) -> list[str]:
        """What is not as the row says; an empty list where all is."""
        made = self.make(folder)
        found = made if isinstance(made, Outcome) else evaluated(made)
        wrong = []
        if found.code != self.code:
            wrong.append(f"ends with {found.code}, not {self.code}: {found.said or [f.text() for f in found.findings]}")
        wrong += [f"no {name} among {sorted(found.names)}" for name in self.has if name not in found.names]
        wrong += [f"{name}: {[f.text() for f in found.findings if f.name == name]}"
                  for name in self.lacks if name in found.names]  # fmt: skip
        counts = {topic: len(every) for topic, every in found.messages.items()}
        if self.counts is not None and counts != dict(self.counts):
            wrong.append(f"messages are {counts}, not {dict(self.counts)}")
        if self.right is not None and not wrong and not self.right(found):
            wrong.append("the values are not right")
        return wrong


def evaluated(path: Path) -> Outcome:
    """As `fusion log check` does it, with the messages."""
    try:
        log = open_log(path)
        survey, messages = LogSurvey(log), {}
        for message in log.messages(topics=(*log.topics, *getattr(log, "results", ()))):
            decoded = raw_picture(message) if isinstance(message, CameraFrame) else message
            if decoded is None:
                log.refused[message.header.source, "picture that cannot be decoded"] += 1
                continue
            survey.take(decoded)
            messages.setdefault(decoded.header.source, []).append(decoded)
        found = survey.survey()
    except LogError as error:
        return Outcome(2, str(error))
    return Outcome(3 if found.wrong() else 0, "", found.findings, messages, log.rig)


def verb(*arguments: str | Path) -> Outcome:
    """Run a verb of `fusion` in this process; `said` is all it printed."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        code = run([str(argument) for argument in arguments])
    return Outcome(code, out.getvalue())
