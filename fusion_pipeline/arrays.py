"""Names for the arrays that travel through the pipeline, and the one check that their shapes agree."""

from __future__ import annotations

from typing import Any, get_origin

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Floats = NDArray[np.float32]  # measurements and network tensors
Doubles = NDArray[np.float64]  # poses, calibration: where rounding adds up
Ints = NDArray[np.int64]
Offsets = NDArray[np.int32]  # per-point time, ns after the scan's first sample
Bytes = NDArray[np.uint8]  # pixels, encoded images


def require_shape(name: str, array: Array, *shape: int | None) -> None:
    """Raise ValueError naming `name` unless `array` has `shape`; None stands for any extent."""
    fits = array.ndim == len(shape) and all(
        want is None or want == got for want, got in zip(shape, array.shape, strict=True)
    )
    if not fits:
        wanted = "(" + ", ".join("any" if want is None else str(want) for want in shape) + ")"
        raise ValueError(f"{name} has shape {array.shape}, expected {wanted}")


def require_dtype(name: str, array: Array, *dtypes: type[np.generic]) -> None:
    """Raise ValueError naming `name` unless `array` has one of `dtypes`."""
    if not any(array.dtype == dtype for dtype in dtypes):
        wanted = " or ".join(np.dtype(dtype).name for dtype in dtypes)
        raise ValueError(f"{name} has dtype {array.dtype}, expected {wanted}")


def is_array(hint: Any) -> bool:
    """Whether a type hint is an array's, such as `NDArray[np.uint8]`: an alias of `np.ndarray[...]` up to NumPy 2.4,
    and from 2.5 on, where Python has them, a `TypeAliasType` whose value that is.
    """
    origin = get_origin(hint)
    return get_origin(getattr(origin, "__value__", hint)) is np.ndarray
