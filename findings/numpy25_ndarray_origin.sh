#!/bin/sh
# NumPy 2.5.5 on Python 3.12 and later: typing.get_origin(NDArray[np.uint8]) is no longer numpy.ndarray.
# Up to 2.4 NDArray is an alias of np.ndarray[...], and code that dispatches on get_origin (serialisers, validators,
# dataclass converters) finds ndarray. In 2.5 it is a TypeAliasType: the origin is the alias itself, the array type is
# behind its __value__, and on Python 3.11 the same program still sees the old form, because pip takes NumPy 2.4 there.
# Seen: 2.4.6 -> numpy.ndarray; 2.5.5 -> NDArray, whose value's origin is numpy.ndarray.
set -eu
python=${PYTHON:-$(command -v python3.13 || command -v python3.12 || echo python3)}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 12))' || { echo "needs Python 3.12 or later: PYTHON=python3.12 sh $0"; exit 2; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"
cat >"$folder/look.py" <<'PY'
import sys
import typing

import numpy as np
from numpy.typing import NDArray

hint = NDArray[np.uint8]
origin = typing.get_origin(hint)
behind = typing.get_origin(getattr(origin, "__value__", hint))
print(np.__version__, "get_origin:", getattr(origin, "__name__", origin), type(origin).__name__, "behind it:", behind)
expected_direct = sys.argv[1] == "direct"
sys.exit(not ((origin is np.ndarray) == expected_direct and behind is np.ndarray))
PY
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check numpy==2.4.6
"$folder/env/bin/python" "$folder/look.py" direct
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check numpy==2.5.5
"$folder/env/bin/python" "$folder/look.py" alias
