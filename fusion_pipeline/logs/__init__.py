"""Logs of any kind; `open_log` opens one for notebooks and scripts."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fusion_pipeline.logs.recording import Recording, open_log

__all__ = ["Recording", "open_log"]


def __getattr__(name: str) -> Any:
    """Load what is asked for: the modules beside need none of it."""
    if name in ("Recording", "open_log"):
        from fusion_pipeline.logs import recording

        return getattr(recording, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
