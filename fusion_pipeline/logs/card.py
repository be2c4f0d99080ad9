"""What a log holds, told without reading it: from the index of an MCAP file, from the file names of others."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fusion_pipeline.clock import SECOND_NS
from fusion_pipeline.logs.reader import LogError, open_log


@dataclass(frozen=True, slots=True)
class Row:
    """One topic."""

    topic: str
    schema: str
    count: int  # -1: not known without reading
    rate_hz: float  # count over the log's length


@dataclass(frozen=True, slots=True)
class Card:
    """A log at a glance."""

    path: Path
    megabytes: float
    start_ns: int
    end_ns: int
    rows: tuple[Row, ...]
    facts: tuple[tuple[str, str], ...]  # metadata, one line each
    complete: bool  # it has its index; without one it was cut off, and is told from its messages

    @property
    def seconds(self) -> float:
        """From the first message to the last."""
        return (self.end_ns - self.start_ns) / SECOND_NS


def card(path: Path) -> Card:
    """The card of any log. Raises LogError."""
    if path.suffix == ".mcap" and path.is_file():
        found = _indexed(path)
        if found is not None:
            return found
    log = open_log(path)
    size = path.stat().st_size if path.is_file() else sum(f.stat().st_size for f in path.rglob("*") if f.is_file())
    rows = tuple(Row(topic, "", -1, 0.0) for topic in log.topics)
    complete = bool(getattr(log, "complete", True))
    return Card(path, size / 1e6, log.start_ns, log.end_ns, rows, (("rig", log.rig.name),), complete)


def _indexed(path: Path) -> Card | None:
    from mcap.reader import make_reader

    try:
        with path.open("rb") as file:
            reader = make_reader(file)
            summary = reader.get_summary()
            metadata = [(item.name, dict(item.metadata)) for item in reader.iter_metadata()]
    except OSError as error:
        raise LogError(f"cannot read {path}: {error.strerror}") from None
    except Exception:  # bytes are wrong in as many ways as there are fields; the slow way says more
        return None
    if summary is None or summary.statistics is None:
        return None
    numbers = summary.statistics
    seconds = max((numbers.message_end_time - numbers.message_start_time) / SECOND_NS, 1e-9)
    rows = []
    for key, channel in sorted(summary.channels.items(), key=lambda item: item[1].topic):
        count = numbers.channel_message_counts.get(key, 0)
        schema = summary.schemas.get(channel.schema_id)
        rows.append(Row(channel.topic, schema.name if schema else channel.message_encoding, count, count / seconds))
    facts = [
        (name if len(table) == 1 else f"{name}.{key}", _short(value))
        for name, table in metadata for key, value in table.items()
    ]  # fmt: skip
    return Card(path, path.stat().st_size / 1e6, numbers.message_start_time, numbers.message_end_time, tuple(rows),
                tuple(facts), True)  # fmt: skip


def _short(text: str) -> str:
    line = text.strip().splitlines()[0] if text.strip() else ""
    return line if len(line) <= 70 and "\n" not in text.strip() else f"{line[:60]} ... ({len(text)} characters)"
