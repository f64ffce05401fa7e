import numpy as np
import pytest

from reid.errors import EvaluationError
from reid.retrieval.bootstrap import interval, paired_bootstrap, pairwise_bootstrap

GENERATOR = np.random.default_rng(0)
FIRST = GENERATOR.random(200)


def test_equal_runs_do_not_differ() -> None:
    made = paired_bootstrap(FIRST, FIRST, seed=0)
    assert (made.difference, made.low, made.high, made.share) == (0, 0, 0, 1)
    assert not made.significant


def test_a_constant_gain_is_certain() -> None:
    made = paired_bootstrap(FIRST + 0.1, FIRST, seed=0)
    assert made.difference == pytest.approx(0.1)
    assert made.low == pytest.approx(0.1)
    assert made.share == 0
    assert made.significant


def test_interval_agrees_with_the_standard_error() -> None:
    second = FIRST + GENERATOR.normal(scale=0.2, size=200)
    made = paired_bootstrap(FIRST, second, seed=0)
    error = np.std(FIRST - second) / np.sqrt(200)
    assert made.high - made.low == pytest.approx(2 * 1.96 * error, rel=0.1)
    assert made.low < made.difference < made.high


def test_draws_are_seeded() -> None:
    second = FIRST[::-1]
    same = paired_bootstrap(FIRST, second, seed=3, draws=100)
    assert same == paired_bootstrap(FIRST, second, seed=3, draws=100)
    assert same != paired_bootstrap(FIRST, second, seed=4, draws=100)


def test_all_pairs_agree_with_the_bootstrap_of_each() -> None:
    runs = np.stack([FIRST, FIRST[::-1], 0.9 * FIRST + 0.05 * GENERATOR.random(200), FIRST + 0.1])
    runs[:, 7] = np.nan
    chances = pairwise_bootstrap(runs, seed=3)
    np.testing.assert_array_equal(chances, chances.T)
    np.testing.assert_array_equal(np.diag(chances), 1)
    for one in range(4):
        for other in range(one + 1, 4):
            share = paired_bootstrap(runs[one], runs[other], seed=3).share
            # counted with the queries as they are
            assert chances[one, other] == pytest.approx(min(1, (share * 2000 + 2) / 2001))


def test_all_pairs_need_the_same_queries() -> None:
    runs = np.stack([FIRST, FIRST])
    runs[1, 3] = np.nan
    with pytest.raises(EvaluationError, match="between 199 and 200 valid queries of 200"):
        pairwise_bootstrap(runs, seed=0)


def test_invalid_queries_are_left_out() -> None:
    first, second = FIRST.copy(), FIRST[::-1].copy()
    first[7] = second[7] = np.nan
    kept = np.arange(200) != 7
    expected = paired_bootstrap(FIRST[kept], FIRST[::-1][kept], seed=0)
    assert paired_bootstrap(first, second, seed=0) == expected


@pytest.mark.parametrize(
    ("first", "second", "draws", "message"),
    [
        ([0.5, np.nan], [0.5, 0.5], 10, "1 and 2 valid queries of 2 and 2; expected the same"),
        ([0.5], [0.5, 0.5], 10, "1 and 2 valid queries of 1 and 2"),
        ([np.nan], [np.nan], 10, "0 valid queries and 10 draws"),
        ([0.5], [0.5], 0, "1 valid queries and 0 draws"),
    ],
)
def test_errors(first: list[float], second: list[float], draws: int, message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        paired_bootstrap(np.array(first), np.array(second), 0, draws)


def test_interval_of_one_run_agrees_with_its_standard_error() -> None:
    made = interval(FIRST, seed=0, draws=2000)
    assert made.mean == FIRST.mean()
    assert made.high - made.low == pytest.approx(2 * 1.96 * np.std(FIRST) / np.sqrt(200), rel=0.1)
    assert made.low < made.mean < made.high
    assert made == interval(np.append(FIRST, np.nan), seed=0, draws=2000)
    assert made != interval(FIRST, seed=1, draws=2000)


def test_interval_against_zeros_is_the_paired_one() -> None:
    made, paired = interval(FIRST, 5, 100), paired_bootstrap(FIRST, np.zeros(200), 5, 100)
    assert (made.mean, made.low, made.high) == (paired.difference, paired.low, paired.high)


def test_an_interval_needs_a_valid_query() -> None:
    with pytest.raises(EvaluationError, match="0 valid queries and 1000 draws"):
        interval(np.array([np.nan]), seed=0)
