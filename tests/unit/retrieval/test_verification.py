import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reid.errors import EvaluationError
from reid.retrieval.labels import Labels
from reid.retrieval.verification import Roc, verify


def scene(seed: int, levels: int) -> tuple[np.ndarray, Labels]:
    generator = np.random.default_rng(seed)
    labels = Labels(
        generator.integers(1, 4, 6),
        generator.integers(0, 2, 6),
        generator.integers(-1, 4, 25),
        generator.integers(0, 2, 25),
    )
    return generator.integers(0, levels, (6, 25)).astype(np.float32), labels


def pairs(distances: np.ndarray, labels: Labels) -> tuple[np.ndarray, np.ndarray]:
    """Distances of genuine and of impostor pairs, pair by pair."""
    genuine, impostors = [], []
    for query, row in enumerate(distances):
        for item, d in enumerate(row):
            person = labels.gallery_person_ids[item]
            same = person == labels.query_person_ids[query]
            camera = labels.gallery_camera_ids[item] == labels.query_camera_ids[query]
            if person != -1 and not (same and camera):
                (genuine if same else impostors).append(d)
    return np.array(genuine), np.array(impostors)


def counted(distances: np.ndarray, labels: Labels, block_size: int = 4) -> Roc:
    starts = range(0, len(distances), block_size)
    return verify(lambda: (distances[s : s + block_size] for s in starts), labels)


def thinned_curve(genuine: np.ndarray, impostors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Impostors as positives, farthest first, without points on a line with both neighbours."""
    thresholds = np.unique(np.concatenate([genuine, impostors]))[::-1]
    false = np.array([(genuine >= t).sum() for t in thresholds])
    true = np.array([(impostors >= t).sum() for t in thresholds])
    if len(false) > 2:
        bent = (np.diff(false, 2) != 0) | (np.diff(true, 2) != 0)
        kept = np.concatenate([[True], bent, [True]])
        false, true = false[kept], true[kept]
    return np.append(0, false) / len(genuine), np.append(0, true) / len(impostors)


@given(st.integers(0, 9999), st.sampled_from([3, 12, 500]))
@settings(max_examples=40, deadline=None)
def test_rates_equal_a_count_over_all_pairs(seed: int, levels: int) -> None:
    distances, labels = scene(seed, levels)
    genuine, impostors = pairs(distances, labels)
    roc = counted(distances, labels)
    assert (roc.genuine.sum(), roc.impostors) == (len(genuine), len(impostors))
    wins = (genuine[:, None] < impostors).sum() + 0.5 * (genuine[:, None] == impostors).sum()
    assert roc.auc == pytest.approx(wins / (len(genuine) * len(impostors)), abs=1e-12)
    for allowed in (0.0, 0.05, 0.3, 1.0):
        rates = [
            (genuine <= t).mean()
            for t in np.concatenate([genuine, impostors])
            if (impostors <= t).mean() <= allowed
        ]
        assert roc.true_positive_rate_at(allowed) == pytest.approx(max(rates, default=0.0))


@given(st.integers(0, 9999), st.sampled_from([3, 12, 500]))
@settings(max_examples=40, deadline=None)
def test_fast_reid_figures_equal_its_thinned_curve(seed: int, levels: int) -> None:
    distances, labels = scene(seed, levels)
    roc = counted(distances, labels)
    false, true = thinned_curve(*pairs(distances, labels))
    for rate in (0.001, 0.1, 0.33, 0.62):
        expected = true[np.argmin(np.abs(false - rate))]
        assert roc.fast_reid_rate_at(rate) == pytest.approx(expected, abs=1e-12)


def test_block_size_changes_nothing() -> None:
    distances, labels = scene(0, 50)
    one, many = counted(distances, labels, 6), counted(distances, labels, 1)
    for name in ("thresholds", "genuine", "impostors_below", "impostors_equal"):
        np.testing.assert_array_equal(getattr(one, name), getattr(many, name))


def test_both_kinds_of_pairs_are_needed() -> None:
    with pytest.raises(EvaluationError, match="0 genuine and 1 impostor pairs; expected at least"):
        verify(lambda: [np.zeros((1, 1))], Labels([1], [0], [2], [0]))
    with pytest.raises(EvaluationError, match="1 genuine and 0 impostor pairs"):
        verify(lambda: [np.zeros((1, 1))], Labels([1], [0], [1], [1]))
