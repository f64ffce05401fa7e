import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reid.retrieval.labels import Labels
from reid.retrieval.pair_histogram import ImpostorCounter

# longer than the parts in which a row is looked at
GALLERY = 5000


def strangers(queries: int) -> Labels:
    """No genuine pair and no junk: every pair counts."""
    ones = np.ones(queries)
    return Labels(ones, ones, np.full(GALLERY, 2), np.zeros(GALLERY))


@given(
    st.integers(0, 2**32),
    st.sampled_from([0, 1, 2, 50, 3000]),
    st.sampled_from([0.0, 1e-6, 0.01, 1.0, 1e9]),
)
@settings(max_examples=30, deadline=None)
def test_counts_equal_a_search_for_every_pair(seed: int, knots: int, spread: float) -> None:
    """From knots that share one cell, because a far one stretches the table, to none at all."""
    generator = np.random.default_rng(seed)
    distances = generator.normal(size=(3, GALLERY)).astype(np.float32)
    distances[0, :4] = [np.inf, -np.inf, 1e30, -1e30]
    chosen = generator.choice(distances.ravel(), knots // 2).astype(np.float64)
    free = spread * generator.normal(size=knots - len(chosen))
    ends = generator.choice([-np.inf, np.inf, 1e12, 1e300], generator.integers(0, 4))
    made = np.unique(np.concatenate([chosen, free, ends]))
    counter = ImpostorCounter(strangers(3), made)
    counter.add(0, distances[:2])
    counter.add(2, distances[2:])
    flat = np.sort(distances.ravel().astype(np.float64))
    below, up_to = (np.searchsorted(flat, made, side=side) for side in ("left", "right"))
    np.testing.assert_array_equal(counter.below, below)
    np.testing.assert_array_equal(counter.equal, up_to - below)
    assert counter.total == distances.size


@pytest.mark.parametrize("gap", [0.0, 5e-324, 1e-310, 1e308])
def test_knots_may_be_as_close_or_as_far_as_numbers_go(gap: float) -> None:
    knots = np.unique([-gap, gap])
    counter = ImpostorCounter(strangers(1), knots)
    row = np.zeros((1, GALLERY))
    row[0, :7] = [-1.7e308, -gap, -gap / 2, gap / 2, gap, 1.7e308, np.nextafter(gap, 1)]
    counter.add(0, row)
    np.testing.assert_array_equal(counter.below, [(row < knot).sum() for knot in knots])
    np.testing.assert_array_equal(counter.equal, [(row == knot).sum() for knot in knots])
