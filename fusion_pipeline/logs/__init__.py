"""Logs of any kind; `open_log` opens one for notebooks and scripts."""

from fusion_pipeline.logs.recording import Recording, open_log

__all__ = ["Recording", "open_log"]
