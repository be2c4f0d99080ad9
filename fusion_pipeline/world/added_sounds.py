"""Any sound file as a source of a drive: in the place of one of its own, or somewhere beside the road."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from fusion_pipeline.world.drive import Drive
from fusion_pipeline.world.motion import Track
from fusion_pipeline.world.sound import SoundSource
from fusion_pipeline.world.sources import Waveform

LEVEL_DB, HEIGHT_M = 90.0, 1.0  # SPL at 1 m, and where nothing else is said
HOW = "write FILE@AHEAD,LEFT or FILE@AHEAD,LEFT,DB (metres from where the vehicle starts), or SOURCE=FILE"


def with_sounds(drive: Drive, texts: Iterable[str]) -> Drive:
    """`drive` with the sounds that each text adds or puts in the place of another. Raises ValueError that says how."""
    for text in texts:
        drive = _with_sound(drive, text)
    return drive


def _with_sound(drive: Drive, text: str) -> Drive:
    path, at, place = text.rpartition("@")
    if at:
        try:
            numbers = [float(part) for part in place.split(",")]
        except ValueError:
            numbers = []
        if len(numbers) not in (2, 3) or not np.isfinite(numbers).all():
            raise ValueError(f"sound {text!r}: {place!r} is no place; {HOW}")
        ahead, left, level = (*numbers, LEVEL_DB)[:3]
        start = drive.ego.at(0.0).world_from_body
        where = start.apply(np.asarray([[ahead, left, HEIGHT_M]]))[0]
        waveform = Waveform.from_file(Path(path))
        track = Track.still(where, 0.0, drive.period_s)
        return replace(drive, sounds=(*drive.sounds, SoundSource(Path(path).stem, waveform, track, level)))
    name, equals, path = text.partition("=")
    if not equals:
        raise ValueError(f"sound {text!r} is not understood; {HOW}")
    known = sorted({source.name for source in drive.sounds})
    if name not in known:
        raise ValueError(f"sound {text!r}: no source is called {name!r}; this scene has {', '.join(known) or 'none'}")
    sounds = tuple(
        replace(source, waveform=Waveform.from_file(Path(path), source.waveform.label))
        if source.name == name
        else source
        for source in drive.sounds
    )
    return replace(drive, sounds=sounds)
