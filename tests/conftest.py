"""Fixtures every test may use."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path += [str(ROOT / "tests" / name) for name in ("logs", "sensors")]  # whose samples others use, too


@pytest.fixture(scope="session")
def repo_root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def data_root() -> Path:
    """Real recordings: $FUSION_DATA, or `shared/data` beside the checkout. Skips the test where they are absent."""
    path = Path(os.environ.get("FUSION_DATA", ROOT.parent / "shared" / "data"))
    if not path.is_dir():
        pytest.skip(
            f"no recordings at {path}; set FUSION_DATA to a folder that holds kitti_raw/, audio/, ouster/, onnx/"
        )
    return path
