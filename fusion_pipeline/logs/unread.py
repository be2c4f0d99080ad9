"""Which schemas become the rig and are no sensors of their own."""

from __future__ import annotations

# Become the rig, by the last part of their schema's name.
HELPERS = ("CameraInfo", "CameraCalibration", "FrameTransform", "FrameTransforms", "TFMessage")


def helps(schema: str) -> bool:
    """Whether messages of this schema are read for the sake of others."""
    return schema.rpartition("/")[2].rpartition(".")[2] in HELPERS
