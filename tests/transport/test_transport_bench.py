"""The benchmarks' own machinery, in small: it must be able to see a tear."""

from __future__ import annotations

import zlib

import numpy as np

from fusion_pipeline.bench.children import picture
from fusion_pipeline.bench.transport_safety import TORN, is_torn, killed_figures, torn_figures


def test_one_wrong_byte_is_a_tear() -> None:
    array = np.random.default_rng(1).integers(0, 256, TORN, np.uint8)
    check = zlib.crc32(array.data)
    assert not is_torn(picture(1, array, check))
    changed = array.copy()
    changed[-1, -1, 0] ^= 1
    assert is_torn(picture(1, changed, check))


def test_no_tears() -> None:
    (figure,) = torn_figures(300)
    assert figure.value == 0
    assert figure.baseline is not None  # a ring without leases; whether it tears in so few frames is chance


def test_nothing_is_left_by_the_killed() -> None:
    (figure,) = killed_figures(1)
    assert figure.value == 0
    assert figure.baseline == 1
