"""Which errors mean that bytes are wrong: those of readers of bytes. All others are faults of this program and are
never told as damage of somebody's file.
"""

from __future__ import annotations

import struct
import sys

_PLAIN = (ValueError, IndexError, ArithmeticError, AssertionError, EOFError, MemoryError, struct.error)
# Errors of libraries that are no ValueError; one that is not loaded has raised none.
_OF_LIBRARIES = (
    ("google.protobuf.message", "DecodeError"), ("rosbags.serde", "SerdeError"), ("cv2", "error"),
    ("av.error", "FFmpegError"), ("zstandard", "ZstdError"),
)  # fmt: skip


def is_damage(error: Exception) -> bool:
    """Whether an error that came up while bytes of a message were decoded says that these are wrong."""
    if isinstance(error, _PLAIN):
        return True
    found = (getattr(sys.modules.get(module), name, None) for module, name in _OF_LIBRARIES)
    return any(isinstance(kind, type) and isinstance(error, kind) for kind in found)
