"""Messages in, sensor sets out, by capture time. Pure: no sockets and no wall clock."""

from fusion_pipeline.align.aligner import Aligner
from fusion_pipeline.align.config import AlignerConfig, Stream, default_reference

__all__ = ["Aligner", "AlignerConfig", "Stream", "default_reference"]
