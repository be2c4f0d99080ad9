"""Messages of users' own kinds as JSON in a log, whole: every field by its name, arrays as their bytes.

    {"type": "RadarScan", "header": {...}, "ranges_m": {"dtype": "<f4", "shape": [3], "data": "<base64>"}}

A number that is not finite is a text, "nan", "inf" or "-inf", since JSON has none.
"""

from __future__ import annotations

import base64
import json
import math
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np


def own_to_json(message: Any) -> str:
    """A message of a user's own type."""
    return json.dumps({"type": type(message).__qualname__, **_plain(message)}, separators=(",", ":"), allow_nan=False)


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, np.ndarray):
        little = np.ascontiguousarray(value, value.dtype.newbyteorder("<"))
        data = base64.b64encode(little.tobytes()).decode("ascii")
        return {"dtype": little.dtype.str, "shape": list(value.shape), "data": data}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    return value if not isinstance(value, float) or math.isfinite(value) else str(value)
