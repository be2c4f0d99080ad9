"""Hills of logits by azimuth become sounds."""

from __future__ import annotations

import numpy as np
import pytest

from fusion_pipeline.detect.network import ModelError
from fusion_pipeline.detect.sound_decoder import SoundDecoder
from fusion_pipeline.operations import DecodeSounds, OperationError

HEAR = SoundDecoder(DecodeSounds(("siren", "horn")))


def hills(*peaks: tuple[int, float, float]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Logits (2, 72) with a hill of a height at bins (class, bin, logit)."""
    out = np.full((2, 72), -6.0, np.float32)
    for row, at, high in peaks:
        away = (np.arange(72) - at + 36) % 72 - 36
        out[row] = np.maximum(out[row], high - 0.6 * away**2)
    return out


def test_peaks_become_sounds_with_their_azimuths_the_surest_first() -> None:
    sounds = HEAR({"audio_events": hills((0, 71.6, 3.0), (1, 18.0, 4.0), (0, 30.0, 1.0))}, True)
    assert [sound.label for sound in sounds] == ["horn", "siren", "siren"]
    azimuths = np.rad2deg([sound.azimuth_rad for sound in sounds])
    np.testing.assert_allclose(azimuths, [90.0, -2.0, 150.0], atol=1.0)
    assert sounds[0].score == pytest.approx(1 / (1 + np.exp(-4.0)), abs=1e-3)


def test_nothing_is_heard_without_an_array_or_above_the_threshold() -> None:
    assert HEAR({"audio_events": hills((0, 3, 5.0))}, False) == ()
    assert HEAR({}, True) == ()
    assert HEAR({"audio_events": hills((0, 3, -1.0))}, True) == ()


def test_a_wrong_shape_is_named() -> None:
    with pytest.raises(ModelError, match=r"'audio_events' \(2, 72\), got \(3, 72\)"):
        HEAR({"audio_events": np.zeros((3, 72), np.float32)}, True)


def test_a_sound_may_have_a_least_score_of_its_own() -> None:
    heard = {"audio_events": hills((0, 10, -1.0), (1, 40, -1.0))}
    keen = SoundDecoder(DecodeSounds(("siren", "horn"), min_scores={"siren": 0.2}))
    assert [sound.label for sound in keen(heard, True)] == ["siren"]
    with pytest.raises(OperationError, match="did you mean 'siren'"):
        DecodeSounds(("siren", "horn"), min_scores={"sirene": 0.2})
    with pytest.raises(OperationError, match="must be positive"):
        DecodeSounds(("siren",), min_scores={"siren": 0.0})
