"""The benchmarks' own machinery, in small: it must be able to see a tear."""

from __future__ import annotations

from fusion_pipeline.bench.transport_safety import killed_figures, torn_figures


def test_no_tears_where_a_ring_without_leases_has_some() -> None:
    (figure,) = torn_figures(300)
    assert figure.value == 0
    assert figure.baseline is not None
    assert figure.baseline > 0


def test_nothing_is_left_by_the_killed() -> None:
    (figure,) = killed_figures(1)
    assert figure.value == 0
    assert figure.baseline == 1
