from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from reid.report.significance import differing, group_letters
from reid.retrieval.bootstrap import pairwise_bootstrap


def symmetric(pairs: np.ndarray) -> np.ndarray:
    return np.triu(pairs, 1) + np.triu(pairs, 1).T


@given(arrays(np.float64, (5, 5), elements=st.sampled_from([0.001, 0.004, 0.01, 0.03, 0.2])))
@settings(max_examples=50, deadline=None)
def test_holm_equals_its_definition(chances: np.ndarray) -> None:
    chances = symmetric(chances)
    pairs = sorted(combinations(range(5), 2), key=lambda pair: (chances[pair], pair))
    truth = set()
    for place, pair in enumerate(pairs):
        if chances[pair] > 0.05 / (len(pairs) - place):
            break
        truth.add(pair)
    found = differing(chances)
    assert {(int(a), int(b)) for a, b in np.argwhere(np.triu(found))} == truth
    assert (found == found.T).all()


@given(arrays(np.bool_, (6, 6)))
@settings(max_examples=50, deadline=None)
def test_a_letter_is_shared_by_those_that_do_not_differ(drawn: np.ndarray) -> None:
    differ = symmetric(drawn.astype(int)).astype(bool)
    letters = group_letters(differ)
    for one, other in combinations(range(6), 2):
        assert bool(set(letters[one]) & set(letters[other])) == (not differ[one, other])
    assert all(list(mine) == sorted(set(mine)) and mine for mine in letters)
    assert "a" in letters[0]


def test_overlapping_groups_share_a_run() -> None:
    differ = symmetric(np.array([[0, 0, 1], [0, 0, 0], [0, 0, 0]])).astype(bool)
    assert group_letters(differ) == (("a",), ("a", "b"), ("b",))
    assert group_letters(np.zeros((1, 1), bool)) == (("a",),)


def test_more_groups_than_letters() -> None:
    letters = group_letters(~np.eye(28, dtype=bool))
    assert letters[25:] == (("z",), ("a1",), ("b1",))


@pytest.mark.parametrize("runs", [2, 24])
def test_clear_differences_are_found_among_many_pairs(runs: int) -> None:
    """More pairs need smaller p-values, which take more draws."""
    levels = np.linspace(0.1, 0.9, runs)[:, None]
    scores = levels + np.random.default_rng(0).normal(scale=0.001, size=(runs, 40))
    differ = differing(pairwise_bootstrap(scores, seed=0))
    assert (differ == ~np.eye(runs, dtype=bool)).all()
