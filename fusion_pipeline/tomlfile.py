"""TOML files that users write: read with a limit, and every way in which that can fail as one sentence."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

LARGEST_BYTES = 16 << 20  # far above any rig or manifest


class TomlError(ValueError):
    """A file that cannot be read as TOML; the message says why, without its path."""


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of `path`. Raises TomlError; FileNotFoundError where there is none."""
    try:
        if not path.exists():
            raise FileNotFoundError(path)
        if path.is_dir():
            raise TomlError("it is a folder")
        if not path.is_file():
            raise TomlError("it is no regular file")
        if path.stat().st_size > LARGEST_BYTES:
            raise TomlError(f"it has {path.stat().st_size} bytes, more than the {LARGEST_BYTES} that are read")
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise
    except OSError as error:
        raise TomlError(error.strerror or str(error)) from None
    except UnicodeDecodeError:
        raise TomlError("it is no UTF-8 text") from None
    except RecursionError:
        raise TomlError("its values are nested too deeply") from None
    except TomlError:
        raise
    except ValueError as error:  # also numbers with thousands of digits
        raise TomlError(" ".join(str(error).split())[:300]) from None
