import numpy as np
import numpy.typing as npt
import pytest

from reid.errors import EvaluationError
from reid.retrieval.features import FeatureRows
from reid.retrieval.pair_scorer import score_distances
from reid.retrieval.shortlist import Shortlist
from reid.retrieval.space import FeatureSpace, MatrixSpace

Matrix = npt.NDArray[np.float32]
N = 60
QUERIES, GALLERY, EVERYONE = np.arange(5, 17), np.arange(20, N), np.arange(N)


class Counting:
    """A scorer that counts pairs."""

    shape = (2, 3)
    flops = 1.0
    symmetric = False
    pairs = 0

    def scores(self, queries: Matrix, gallery: Matrix) -> Matrix:
        self.pairs += len(queries) * len(gallery)
        found: Matrix = (queries[:, None] * np.maximum(gallery[None], 0)).sum(axis=2)
        return found


@pytest.fixture
def rows() -> Matrix:
    return np.random.default_rng(0).standard_normal((N, 6)).astype(np.float32)


@pytest.fixture
def base() -> FeatureSpace:
    features = np.random.default_rng(1).standard_normal((N, 4)).astype(np.float32)
    return FeatureSpace(FeatureRows(features))


def whole(
    source: Shortlist | FeatureSpace, gallery: npt.NDArray[np.int64], size: int = 5
) -> Matrix:
    return np.concatenate(list(source.blocks(QUERIES, gallery, size)))


@pytest.mark.parametrize("count", [1, 7, 100])
def test_the_first_are_scored_and_the_others_stay_behind(
    rows: Matrix, base: FeatureSpace, count: int
) -> None:
    found, plain = (
        whole(Shortlist(base, Counting(), rows, EVERYONE, count), GALLERY),
        whole(base, GALLERY),
    )
    scores = Counting().scores(rows[QUERIES], rows[GALLERY])
    assert found.dtype == np.float32
    for row, order in enumerate(np.argsort(plain, axis=1, kind="stable")):
        first, others = order[:count], order[count:]
        assert np.array_equal(found[row, first], score_distances(scores[row, first]))
        assert (found[row, others] >= 2).all()
        assert (np.diff(found[row, others]) > 0).all()


def test_ties_go_by_index_and_stay_ties(rows: Matrix) -> None:
    distances = np.ones((N, N))
    distances[:, 40:] = 3
    source = Shortlist(MatrixSpace(distances), Counting(), rows, EVERYONE, 4)
    found = whole(source, GALLERY)
    assert (found[:, :4] <= 1).all()
    assert (found[:, 4:20] == 2).all()
    assert (found[:, 20:] == 3).all()


def test_pairs_are_scored_once(rows: Matrix, base: FeatureSpace) -> None:
    scorer = Counting()
    source = Shortlist(base, scorer, rows, EVERYONE, 7)
    found = whole(source, GALLERY)
    assert scorer.pairs == len(QUERIES) * 7
    assert np.array_equal(whole(source, GALLERY, 100), found)
    assert scorer.pairs == len(QUERIES) * 7
    fewer = GALLERY[::2]
    part = whole(source, fewer)
    assert np.array_equal(part, whole(Shortlist(base, Counting(), rows, EVERYONE, 7), fewer))
    # what is on the first list is on that of fewer images too
    again = int((found[:, ::2] <= 1).sum())
    assert again > 0
    assert scorer.pairs == 2 * len(QUERIES) * 7 - again


def test_a_shortlist_of_nothing_is_refused(rows: Matrix, base: FeatureSpace) -> None:
    with pytest.raises(EvaluationError, match=r"a shortlist of 0 images; expected at least 1\."):
        Shortlist(base, Counting(), rows, EVERYONE, 0)


def test_rows_of_another_model_are_refused(rows: Matrix, base: FeatureSpace) -> None:
    with pytest.raises(EvaluationError, match="6 numbers in a row"):
        whole(Shortlist(base, Counting(), rows[:, :5], EVERYONE, 3), GALLERY)


def test_rows_of_the_test_set_may_stand_elsewhere_in_the_store(
    rows: Matrix, base: FeatureSpace
) -> None:
    order = np.random.default_rng(2).permutation(N)
    stored = np.empty_like(rows)
    stored[order] = rows
    plain = whole(Shortlist(base, Counting(), rows, EVERYONE, 7), GALLERY)
    assert np.array_equal(whole(Shortlist(base, Counting(), stored, order, 7), GALLERY), plain)
