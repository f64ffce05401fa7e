"""The budget is kept: NumPy tells `tracemalloc` of every array."""

import tracemalloc

import numpy as np
import pytest

from reid.errors import EvaluationError
from reid.retrieval.embeddings import Embeddings
from reid.retrieval.evaluate import Evaluation, EvaluationSettings, evaluate
from reid.retrieval.memory import KEPT, Plan, Sizes
from reid.retrieval.protocols import PROTOCOLS

SIZES = Sizes(queries=100, gallery=20_000, width=64, longest=21)


def world(rows: int = 1500, width: int = 64) -> Embeddings:
    generator = np.random.default_rng(0)
    persons = generator.integers(1, 200, rows)
    centres = generator.normal(size=(200, width))
    features = centres[persons] + generator.normal(size=(rows, width))
    roles = np.where(np.arange(rows) < 24, "query", "gallery")
    paths = [str(row) for row in range(rows)]
    return Embeddings(features, persons, generator.integers(0, 4, rows), roles, paths)


def measured(
    embeddings: Embeddings, memory: int | None, variants: tuple[str, ...] = ()
) -> tuple[Evaluation, int]:
    """An evaluation, and the largest number of bytes that it held."""
    settings = EvaluationSettings(memory=memory, variants=variants)
    tracemalloc.start()
    try:
        made = evaluate(embeddings, PROTOCOLS["market"], settings)
        return made, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_without_a_bound_everything_is_held() -> None:
    assert Plan.of(SIZES, None) == Plan(keep=True)
    many = Sizes(queries=10_000, gallery=KEPT // 10_000, width=64)
    assert not Plan.of(many, None).keep


def test_less_memory_gives_less_in_turn() -> None:
    least = SIZES.fixed + SIZES.row
    plans = [Plan.of(SIZES, least + extra * 10**6) for extra in (0, 4, 30, 100)]
    assert plans[0] == Plan(block_size=1, hold=False, keep=False)
    sizes = [plan.block_size for plan in plans]
    assert sizes == sorted(sizes)
    assert plans[-1] == Plan(keep=True)


def test_too_little_says_the_least_that_works() -> None:
    least = SIZES.fixed + SIZES.row
    said = rf"a memory of 1 MB for 100 queries x 20000 .* at least {-(-least // 10**6)} MB\. Raise"
    with pytest.raises(EvaluationError, match=said):
        Plan.of(SIZES, 10**6)
    assert Plan.of(SIZES, least).block_size == 1


def test_the_budget_is_kept_and_changes_no_score() -> None:
    embeddings = world()
    with pytest.raises(EvaluationError, match="expected at least") as caught:
        measured(embeddings, 10**6)
    least = int(str(caught.value).partition("at least ")[2].partition(" MB")[0]) * 10**6
    measured(embeddings, least)  # the compiler has memory of its own
    free, _ = measured(embeddings, None)
    made, held = measured(embeddings, least)
    assert held <= least
    for setting, scores in free.scores.items():
        np.testing.assert_array_equal(
            made.scores[setting].average_precision, scores.average_precision
        )


@pytest.mark.parametrize("variant", ["query_only", "openunreid"])
def test_the_budget_is_kept_by_variants_too(variant: str) -> None:
    embeddings = world(1000, 32)
    with pytest.raises(EvaluationError, match="do without variants of re-ranking") as caught:
        measured(embeddings, 10**6, (variant,))
    least = int(str(caught.value).partition("at least ")[2].partition(" MB")[0]) * 10**6
    measured(embeddings, least, (variant,))
    for bound in (least, 2 * least):
        assert measured(embeddings, bound, (variant,))[1] <= bound
