"""Weights that a training begins with, kept with the code in half precision."""

from __future__ import annotations

from pathlib import Path

SHIPPED_WEIGHTS = Path(__file__).resolve().parent / "fusion_base.npz"
