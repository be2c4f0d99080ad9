"""What came out of judging one model on one set of data, and its form as JSON, which can be read back."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fusion_pipeline.bench.report import Figure, machine
from fusion_pipeline.evaluate.kitti_frames import EvaluationError
from fusion_pipeline.manifest import Manifest, sha256_of
from fusion_pipeline.metrics.charts import Chart, Series

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """Figures under titles, and what can be drawn of them."""

    model: str  # name in the manifest
    files: Mapping[str, str]  # sha256 of each of the model's files by its name
    data: str  # "kitti" or "simulated"
    about: str  # what the data were, in a line
    date: str
    sections: Mapping[str, tuple[Figure, ...]]
    charts: tuple[Chart, ...]


def outcome(model: Path, data: str, about: str, sections: Mapping[str, tuple[Figure, ...]],
            charts: Iterable[Chart] = ()) -> Outcome:  # fmt: skip
    """With the model's name and hashes, dated today."""
    manifest = Manifest.beside(model)
    files = {Path(file.path).name: sha256_of(Path(file.path)) for file in manifest.files.values()}
    today = datetime.now(UTC).date().isoformat()
    return Outcome(manifest.name, files, data, about, today, sections, tuple(charts))


def as_json(outcomes: Iterable[Outcome]) -> str:
    """All of them and the machine; numbers that are none become null."""
    table = {"schema": SCHEMA, "machine": machine(), "evaluations": [asdict(one) for one in outcomes]}
    return json.dumps(_plain(table), indent=1, allow_nan=False) + "\n"


def read(path: Path) -> list[Outcome]:
    """Of a file that `fusion eval --json` or `--out` wrote. Raises EvaluationError."""
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        if table["schema"] != SCHEMA:
            raise EvaluationError(f"{path}: schema is {table['schema']!r}; this program reads {SCHEMA}; evaluate again")
        return [_outcome(one) for one in table["evaluations"]]
    except OSError as error:
        raise EvaluationError(f"{path}: {error.strerror}; check the path") from None
    except EvaluationError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EvaluationError(f"{path} is no result of `fusion eval --out` ({error!r}); evaluate again") from None


def _outcome(table: Mapping[str, Any]) -> Outcome:
    sections = {title: tuple(_figure(row) for row in rows) for title, rows in table["sections"].items()}
    charts = tuple(Chart(**{**row, "series": tuple(Series(**_tuples(s)) for s in row["series"]),
                            **{k: tuple(row[k]) for k in ("x_range", "y_range", "categories")}})
                   for row in table["charts"])  # fmt: skip
    return Outcome(**{**table, "sections": sections, "charts": charts})


def _figure(row: Mapping[str, Any]) -> Figure:
    known = {field.name for field in fields(Figure)}
    kept = {key: value for key, value in row.items() if key in known}
    kept["beside"] = tuple((str(name), _number(value)) for name, value in row["beside"])
    return Figure(**{**kept, "value": _number(row["value"])})


def _tuples(row: Mapping[str, Any]) -> dict[str, Any]:
    return {k: tuple(_number(x) for x in v) if isinstance(v, list) else v for k, v in row.items()}


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _plain(value: Any) -> Any:
    """Without NaN, and with numbers of NumPy's as Python's."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
