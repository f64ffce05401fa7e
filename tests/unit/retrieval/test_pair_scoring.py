from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from reid.errors import EvaluationError, ParamsError
from reid.retrieval import pair_scoring
from reid.retrieval.pair_scoring import Estimate, estimate, score_matrix
from reid.retrieval.precision import Precision, as_float32, rounded

Matrix = npt.NDArray[np.float32]
WIDTH = 6
QUERIES, GALLERY = np.arange(3, 40), np.arange(20, 90)


class Counting:
    """A scorer that remembers what it was asked for."""

    shape = (2, 3)
    flops = 1e6

    def __init__(self, symmetric: bool = False) -> None:
        self.symmetric = symmetric
        self.asked: list[tuple[int, int]] = []

    def scores(self, queries: Matrix, gallery: Matrix) -> Matrix:
        assert queries.dtype == gallery.dtype == np.float32
        self.asked.append((len(queries), len(gallery)))
        if self.symmetric:
            return -np.abs(queries[:, None] - gallery[None]).sum(axis=2)
        found: Matrix = (queries[:, None] * np.maximum(gallery[None], 0)).sum(axis=2)
        return found


@pytest.fixture
def rows() -> Matrix:
    return np.random.default_rng(0).standard_normal((100, WIDTH)).astype(np.float32)


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair_scoring, "_SIDE", 16)


def stop_after(blocks: int) -> Callable[[int, int], None]:
    seen: list[int] = []

    def advance(done: int, total: int) -> None:
        seen.append(done)
        if len(seen) == blocks:
            raise KeyboardInterrupt

    return advance


@pytest.mark.parametrize("stored_as", ["float32", "float16", "bfloat16"])
def test_all_pairs_are_scored(rows: Matrix, tmp_path: Path, stored_as: Precision) -> None:
    stored = rounded(rows, stored_as)
    scores = score_matrix(Counting(), stored, QUERIES, GALLERY, tmp_path / "s.npy", "key")
    exact = as_float32(stored)
    assert np.array_equal(scores, Counting().scores(exact[QUERIES], exact[GALLERY]))
    assert scores.dtype == np.float32
    assert sorted(path.name for path in tmp_path.iterdir()) == [".s.npy.json", "s.npy"]


def test_progress_counts_pairs(rows: Matrix, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    score_matrix(
        Counting(),
        rows,
        QUERIES,
        GALLERY,
        tmp_path / "s.npy",
        "key",
        advance=lambda done, total: seen.append((done, total)),
    )
    assert len(seen) == 3 * 5
    assert seen[0] == (16 * 16, 37 * 70)
    assert seen[-1] == (37 * 70, 37 * 70)


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("blocks", [1, 4, 6])
def test_what_was_interrupted_goes_on(
    rows: Matrix, tmp_path: Path, symmetric: bool, blocks: int
) -> None:
    sides = (GALLERY, GALLERY) if symmetric else (QUERIES, GALLERY)
    whole = Counting(symmetric)
    score_matrix(whole, rows, *sides, tmp_path / "whole.npy", "key")
    target, first, second = tmp_path / "s.npy", Counting(symmetric), Counting(symmetric)
    with pytest.raises(KeyboardInterrupt):
        score_matrix(first, rows, *sides, target, "key", advance=stop_after(blocks))
    assert not target.exists()
    score_matrix(second, rows, *sides, target, "key")
    assert target.read_bytes() == (tmp_path / "whole.npy").read_bytes()
    assert len(first.asked) == blocks
    assert first.asked + second.asked == whole.asked


def test_what_is_done_is_not_scored_again(rows: Matrix, tmp_path: Path) -> None:
    target, again = tmp_path / "s.npy", Counting()
    first = score_matrix(Counting(), rows, QUERIES, GALLERY, target, "key").copy()
    assert np.array_equal(score_matrix(again, rows, QUERIES, GALLERY, target, "key"), first)
    assert not again.asked
    score_matrix(again, rows, QUERIES, GALLERY, target, "another key")
    assert again.asked


@pytest.mark.parametrize("change", ["key", "rows", "memory"])
def test_blocks_of_other_work_are_thrown_away(rows: Matrix, tmp_path: Path, change: str) -> None:
    target, scorer = tmp_path / "s.npy", Counting()
    with pytest.raises(KeyboardInterrupt):
        score_matrix(scorer, rows, QUERIES, GALLERY, target, "key", advance=stop_after(4))
    key = "another" if change == "key" else "key"
    queries = QUERIES[::-1] if change == "rows" else QUERIES
    memory = pair_scoring.SCORER_ROOM + 2000 if change == "memory" else None
    scores = score_matrix(Counting(), rows, queries, GALLERY, target, key, memory=memory)
    assert np.array_equal(scores, Counting().scores(rows[queries], rows[GALLERY]))


def test_half_is_enough_for_a_symmetric_square(rows: Matrix, tmp_path: Path) -> None:
    scorer = Counting(symmetric=True)
    scores = score_matrix(scorer, rows, GALLERY, GALLERY, tmp_path / "s.npy", "key")
    assert np.array_equal(scores, Counting(symmetric=True).scores(rows[GALLERY], rows[GALLERY]))
    assert len(scorer.asked) == 15  # of 5 x 5 blocks
    assert estimate(scorer, rows, GALLERY, GALLERY).pairs == 70 * 71 // 2


def test_a_square_of_another_scorer_is_scored_whole(rows: Matrix, tmp_path: Path) -> None:
    scorer = Counting()
    score_matrix(scorer, rows, GALLERY, GALLERY, tmp_path / "s.npy", "key")
    assert len(scorer.asked) == 25


def test_the_size_of_blocks_alters_no_score(rows: Matrix, tmp_path: Path) -> None:
    found = []
    for memory in (pair_scoring.SCORER_ROOM + 2000, pair_scoring.SCORER_ROOM + 3000, None):
        scorer = Counting()
        target = tmp_path / "s.npy"
        score_matrix(scorer, rows, QUERIES, GALLERY, target, "key", memory=memory)
        found.append((len(scorer.asked), target.read_bytes()))
    assert found[0][0] > found[1][0] > found[2][0]
    assert found[0][1] == found[1][1] == found[2][1]


def test_a_memory_that_is_too_small_is_refused(rows: Matrix, tmp_path: Path) -> None:
    with pytest.raises(EvaluationError) as error:
        score_matrix(Counting(), rows, QUERIES, GALLERY, tmp_path / "s.npy", "k", memory=10**6)
    assert str(error.value) == (
        "a memory of 1 MB for pairs of 0.0 MB an image; expected at least 65 MB. Raise it."
    )


def test_rows_of_another_size_are_refused(rows: Matrix, tmp_path: Path) -> None:
    with pytest.raises(
        EvaluationError, match=r"rows of shape \[100, 5\] .* 6 numbers .* \(2 x 3\)"
    ):
        score_matrix(Counting(), rows[:, :5], QUERIES, GALLERY, tmp_path / "s.npy", "key")


def test_rows_that_are_no_numbers_are_refused(rows: Matrix, tmp_path: Path) -> None:
    rows[50, 2] = np.nan
    with pytest.raises(EvaluationError, match=r"NaN or infinity in row 50 .* expected finite"):
        score_matrix(Counting(), rows, QUERIES, GALLERY, tmp_path / "s.npy", "key")


def test_an_estimate_says_what_comes(rows: Matrix) -> None:
    found = estimate(Counting(), rows, QUERIES, GALLERY)
    assert (found.pairs, found.flops) == (37 * 70, 37 * 70 * 1e6)
    assert found.seconds > 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(3.2, "3 seconds"), (600, "10.0 minutes"), (9000, "2.5 hours"), (1e6, "11.6 days")],
)
def test_the_line_of_an_estimate(seconds: float, text: str) -> None:
    line = Estimate(66_457_376, 7.84e15, seconds).line
    assert line == f"66,457,376 pairs, 7.8e+15 FLOP, about {text}"


def test_work_of_too_many_hours_is_refused() -> None:
    work = Estimate(66_457_376, 7.84e15, 72_000)
    work.check(None)
    work.check(20)
    with pytest.raises(ParamsError) as error:
        work.check(1)
    assert str(error.value) == (
        "scoring 66,457,376 pairs, 7.8e+15 FLOP, about 20.0 hours; expected at most 1 hours. "
        "Raise `evaluation.pairs.hours` in the study, or null it, or use a shortlist."
    )
