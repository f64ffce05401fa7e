import json
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from reid import compiled
from reid.errors import EvaluationError
from reid.retrieval.labels import EXCLUSIONS, Labels, excluded
from reid.retrieval.ranking import numbered
from reid.retrieval.roc import Roc
from reid.retrieval.verification import GenuinePairs, PairStatistics, verify


@dataclass(frozen=True)
class Scene:
    distances: np.ndarray
    labels: Labels

    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Distances of genuine and of impostor pairs, pair by pair."""
        genuine, impostors = [], []
        for query, row in enumerate(self.distances):
            for item, d in enumerate(row):
                person = self.labels.gallery_person_ids[item]
                same = person == self.labels.query_person_ids[query]
                camera = self.labels.gallery_camera_ids[item] == self.labels.query_camera_ids[query]
                if person != -1 and not excluded(EXCLUSIONS[self.labels.exclusion], same, camera):
                    (genuine if same else impostors).append(d)
        return np.array(genuine), np.array(impostors)

    def roc(self, block_size: int = 4) -> Roc:
        return verify(lambda: in_blocks(self.distances, block_size), self.labels)

    def statistics(self, block_size: int = 4, bins: int = 7) -> PairStatistics:
        pairs = GenuinePairs(self.labels)
        for row, block in numbered(in_blocks(self.distances, block_size), self.labels):
            pairs.add(row, block)
        return pairs.statistics(in_blocks(self.distances, block_size), bins)


def in_blocks(distances: np.ndarray, size: int) -> list[np.ndarray]:
    return [distances[start : start + size] for start in range(0, len(distances), size)]


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    """Ties, junk, distractors, few or many cameras, repeated rows, any rule; both kinds of pair."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    cameras, levels = draw(st.sampled_from([1, 2, 4])), draw(st.sampled_from([3, 12, 500]))
    labels = Labels(
        generator.integers(1, 5, 6),
        generator.integers(0, cameras, 6),
        generator.integers(-1, 4, 25),
        generator.integers(0, cameras, 25),
        draw(st.sampled_from(list(EXCLUSIONS))),
    )
    distances = generator.integers(0, levels, (6, 25)).astype(draw(st.sampled_from(["f4", "f8"])))
    if draw(st.booleans()):
        distances[1::2], distances[:, 1::2] = distances[::2], distances[:, :24:2]
    scene = Scene(distances * draw(st.sampled_from([1, 1 / 7, -1, 1e-30])), labels)
    assume(all(map(len, scene.pairs())))
    return scene


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


@given(scenes())
@settings(max_examples=60, deadline=None)
def test_rates_equal_a_count_over_all_pairs(scene: Scene) -> None:
    genuine, impostors = scene.pairs()
    roc = scene.roc()
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


@given(scenes())
@settings(max_examples=60, deadline=None)
def test_equal_error_rate_lies_on_the_curve_through_every_distance(scene: Scene) -> None:
    genuine, impostors = scene.pairs()
    steps = [-np.inf, *np.unique(np.concatenate([genuine, impostors]))]
    accepted = np.array([(impostors <= t).mean() for t in steps])
    refused = np.array([(genuine > t).mean() for t in steps])
    # the difference only grows, so inverting it by interpolation finds where it is 0
    expected = np.interp(0.0, accepted - refused, accepted)
    assert scene.roc().equal_error_rate == pytest.approx(expected, abs=1e-12)


@given(scenes())
@settings(max_examples=40, deadline=None)
def test_fast_reid_figures_equal_its_thinned_curve(scene: Scene) -> None:
    roc = scene.roc()
    false, true = thinned_curve(*scene.pairs())
    for rate in (0.001, 0.1, 0.33, 0.62):
        expected = true[np.argmin(np.abs(false - rate))]
        assert roc.fast_reid_rate_at(rate) == pytest.approx(expected, abs=1e-12)


@given(scenes(), st.sampled_from([1, 2, 7, 200]))
@settings(max_examples=60, deadline=None)
def test_histograms_hold_every_pair_once(scene: Scene, bins: int) -> None:
    made = scene.statistics(bins=bins)
    for counts, distances in zip(
        (made.genuine_counts, made.impostor_counts), scene.pairs(), strict=True
    ):
        places = np.searchsorted(made.edges[1:-1], distances, side="right")
        np.testing.assert_array_equal(counts, np.bincount(places, minlength=bins))


def two_pairs(genuine: float, impostor: float) -> PairStatistics:
    return Scene(np.array([[genuine, impostor]]), Labels([1], [0], [1, 2], [1, 1])).statistics()


@pytest.mark.parametrize(
    ("genuine", "impostor", "first", "last"),
    [
        (0.3, 2.5, 0, 4),
        (0.3, 4.0000002, 0, 4),
        (4.1, 0.5, 0, 8),
        (0.0, 1.0, 0, 1),
        (0.0, 0.0, 0, 1),
        (-3.0, 0.6, -4, 1),
        (-3.0, -2.0, -4, 0),
        (0.2, np.inf, 0, 0.25),
        (-np.inf, 0.2, 0, 0.25),
    ],
)
def test_edges_reach_to_powers_of_two(
    genuine: float, impostor: float, first: float, last: float
) -> None:
    made = two_pairs(genuine, impostor)
    np.testing.assert_allclose(made.edges, np.linspace(first, last, 8), rtol=1e-15)
    assert made.genuine_counts.sum() == made.impostor_counts.sum() == 1
    assert made.roc.auc == (0.5 if genuine == impostor else float(genuine < impostor))


def test_figures_by_hand() -> None:
    distances = np.array([[0.1, 0.2, 0.4, 0.3, 0.5, 0.6, 0.7]])
    made = Scene(distances, Labels([1], [0], [1, 1, 1, 2, 2, 2, 2], np.ones(7))).statistics()
    # at 0.3 a quarter of the impostors is accepted and a third of the genuine pairs refused, at
    # 0.4 still a quarter, and none refused
    assert made.roc.figures() == {
        "auc": pytest.approx(11 / 12),
        "eer": pytest.approx(1 / 4),
        "tpr_at_fpr_0.0001": pytest.approx(2 / 3),
        "tpr_at_fpr_0.001": pytest.approx(2 / 3),
        "tpr_at_fpr_0.01": pytest.approx(2 / 3),
        "tpr_at_fpr_0.1": pytest.approx(2 / 3),
    }
    rates, reached = made.roc.points(3)
    np.testing.assert_allclose(rates, [1 / 4, 1 / 2, 1])
    np.testing.assert_allclose(reached, [1, 1, 1])


def test_the_record_is_json_without_loss() -> None:
    made = two_pairs(0.25, 2.0)
    record = json.loads(json.dumps(made.record(points=2), allow_nan=False))
    assert record["figures"] == made.roc.figures()
    assert (record["genuine_pairs"], record["impostor_pairs"]) == (1, 1)
    assert record["edges"] == made.edges.tolist()
    assert record["genuine_counts"] == [1, 0, 0, 0, 0, 0, 0]
    assert record["impostor_counts"] == [0, 0, 0, 0, 0, 0, 1]
    assert (record["false_positive_rate"], record["true_positive_rate"]) == ([1, 1], [1, 1])


@given(scenes(), st.integers(1, 6), st.integers(1, 3))
@settings(max_examples=20, deadline=None)
def test_blocks_and_threads_change_nothing(scene: Scene, block_size: int, threads: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "thread_count", lambda: 1)
        expected = scene.statistics(6)
        patch.setattr(compiled, "thread_count", lambda: threads)
        made = scene.statistics(block_size)
    for name in ("edges", "genuine_counts", "impostor_counts"):
        assert getattr(made, name).tobytes() == getattr(expected, name).tobytes()
    for name in ("thresholds", "genuine", "impostors_below", "impostors_equal"):
        assert getattr(made.roc, name).tobytes() == getattr(expected.roc, name).tobytes()


def test_both_kinds_of_pairs_are_needed() -> None:
    with pytest.raises(EvaluationError, match="0 genuine and 1 impostor pairs; expected at least"):
        verify(lambda: [np.zeros((1, 1))], Labels([1], [0], [2], [0]))
    with pytest.raises(EvaluationError, match="1 genuine and 0 impostor pairs"):
        verify(lambda: [np.zeros((1, 1))], Labels([1], [0], [1], [1]))


def test_distances_must_be_numbers() -> None:
    with pytest.raises(
        EvaluationError, match="distances of query 1 hold NaN; expected finite numbers"
    ):
        verify(lambda: [np.array([[0.0], [np.nan]])], Labels([1, 2], [0, 0], [1], [1]))


def test_histograms_need_a_bin() -> None:
    with pytest.raises(EvaluationError, match="histograms of 0 bins; expected at least 1"):
        Scene(np.zeros((1, 1)), Labels([1], [0], [1], [1])).statistics(bins=0)
