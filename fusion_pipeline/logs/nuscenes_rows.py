"""Rows of nuScenes' tables, read piece by piece and checked before they are used."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from fusion_pipeline.clock import LAST_NS
from fusion_pipeline.logs.reader import LogError

BLOCK = 1 << 20
ROW_MOST = 1 << 24  # characters; a longer row is none
LARGEST = 1e8  # of metres and pixels
Row = dict[str, Any]


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 31


def _time(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LAST_NS // 1000


def _numbers(count: int, least: float = -LARGEST) -> Callable[[Any], bool]:
    def good(value: Any) -> bool:
        return isinstance(value, list) and len(value) == count and all(
            isinstance(v, (int, float)) and not isinstance(v, bool) and least <= v < LARGEST for v in value
        )  # fmt: skip

    return good


def _turn(value: Any) -> bool:
    return _numbers(4)(value) and math.hypot(*value) > 0.5


def _lens(value: Any) -> bool:
    return value == [] or (isinstance(value, list) and len(value) == 3 and all(map(_numbers(3), value)))


_PLACE: Mapping[str, Callable[[Any], bool]] = {"token": _text, "translation": _numbers(3), "rotation": _turn}
# What each table's rows must have; keys that are not used are not looked at.
TABLES: Mapping[str, Mapping[str, Callable[[Any], bool]]] = {
    "scene": {"token": _text, "name": _text},
    "sample": {"token": _text, "scene_token": _text, "timestamp": _time},
    "sample_data": {
        "token": _text, "sample_token": _text, "ego_pose_token": _text, "calibrated_sensor_token": _text,
        "timestamp": _time, "filename": _text, "width": _count, "height": _count,
    },
    "sensor": {"token": _text, "channel": _text, "modality": _text},
    "calibrated_sensor": {**_PLACE, "sensor_token": _text, "camera_intrinsic": _lens},
    "ego_pose": _PLACE,
    "sample_annotation": {
        **_PLACE, "sample_token": _text, "instance_token": _text, "size": _numbers(3, 0.0), "prev": _text,
        "next": _text, "num_lidar_pts": _count, "visibility_token": lambda value: isinstance(value, (str, int)),
    },
    "instance": {"token": _text, "category_token": _text},
    "category": {"token": _text, "name": _text},
}  # fmt: skip


def rows(path: Path, keep: Callable[[Row], bool] = lambda row: True) -> Iterator[Row]:
    """The rows of a table that `keep` wants, read piece by piece: some tables are larger than memory.

    Raises LogError where the file is missing or no such table, or one of these rows has not what it must have.
    """
    decoder, text, number = json.JSONDecoder(), "", 0
    try:
        with path.open(encoding="utf-8") as file:
            if file.read(1) != "[":
                raise LogError(f"{path} is no table of nuScenes; download it again")
            while True:
                text = text.lstrip(" \t\r\n,")
                if text.startswith("]"):
                    return
                try:
                    row, end = decoder.raw_decode(text)
                except json.JSONDecodeError:
                    more = file.read(BLOCK)
                    if not more or len(text) > ROW_MOST:
                        raise LogError(f"{path} is cut off or damaged after row {number}; download it again") from None
                    text += more
                    continue
                text, number = text[end:], number + 1
                if not isinstance(row, dict):
                    raise LogError(f"{path}, row {number}: it is no row of a table; download it again")
                if keep(row):
                    _check(path, number, row)
                    yield row
    except (OSError, UnicodeDecodeError) as error:
        raise LogError(
            f"{path} cannot be read: {getattr(error, 'strerror', error)}; is the download complete?"
        ) from None
    except KeyError as error:
        raise LogError(f"{path}, row {number}: it lacks {error.args[0]!r}; is it of version 1.0?") from None
    except (TypeError, ValueError, RecursionError) as error:  # of `keep`, and numbers of too many digits
        if isinstance(error, LogError):
            raise
        raise LogError(f"{path}, row {number}: {str(error)[:80]}; download it again") from None


def _check(path: Path, number: int, row: Row) -> None:
    for key, good in TABLES.get(path.stem, {}).items():
        if key not in row:
            raise LogError(f"{path}, row {number}: it lacks {key!r}; is it of version 1.0?")
        if not good(row[key]):
            raise LogError(f"{path}, row {number}: {key} = {str(row[key])[:60]!r} cannot be; download it again")
