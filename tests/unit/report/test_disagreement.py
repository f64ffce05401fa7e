import dataclasses
from collections.abc import Callable

import numpy as np

from reid.report.comparison import compare_results
from reid.report.disagreement import disagreements
from reid.retrieval.result import Result

Make = Callable[..., Result]
PLAIN = ("synth/market", "plain")


def test_queries_are_counted_by_who_is_right(make_result: Make) -> None:
    high, low = make_result("high", 0.7, method="a"), make_result("lower", 0.4, method="b")
    (found,) = disagreements(compare_results([low, high])[0], 4)
    mine, other = (result.queries[PLAIN] for result in (high, low))
    counts = {(True, True): 0, (True, False): 0, (False, True): 0, (False, False): 0}
    for query in range(50):
        if query != 7:
            counts[
                bool(mine.first_match_rank[query] == 1), bool(other.first_match_rank[query] == 1)
            ] += 1
    assert (found.first, found.second) == ("high", "lower")
    assert found.won == (counts[True, False], counts[False, True])
    assert (found.both, found.neither) == (counts[True, True], counts[False, False])
    assert min(found.won) >= 2


def test_cases_are_the_clearest_of_each_side_in_turns(make_result: Make) -> None:
    high, low = make_result("high", 0.7, method="a"), make_result("lower", 0.4, method="b")
    (found,) = disagreements(compare_results([low, high])[0], 4)
    winners = [[answer.run for answer in case.answers if answer.right] for case in found.cases]
    assert winners == [["high"], ["lower"], ["high"], ["lower"]]
    mine, other = (result.queries[PLAIN] for result in (high, low))
    gap = mine.average_precision - other.average_precision
    won = (mine.first_match_rank == 1) & (other.first_match_rank == 4)
    best = int(np.flatnonzero(won)[np.argmax(gap[won])])
    first = found.cases[0]
    assert first.query == f"query/{best}.png"
    assert [a.path for a in first.answers] == [f"gallery/{r}_{best}.png" for r in ("high", "lower")]


def test_the_best_of_each_method_meets_the_next_method(make_result: Make) -> None:
    results = [
        make_result("a1", 0.9, method="a"),
        make_result("a2", 0.8, method="a"),
        make_result("b1", 0.7, method="b"),
        make_result("c1", 0.5, method="c"),
        make_result("b2", 0.3, method="b"),
    ]
    found = disagreements(compare_results(results)[0], 1)
    assert [(pair.first, pair.second) for pair in found] == [("a1", "b1"), ("b1", "c1")]


def test_records_without_answers_are_counted_but_not_shown(make_result: Make) -> None:
    high, low = make_result("high", 0.7, method="a"), make_result("lower", 0.4, method="b")
    low.queries[PLAIN] = dataclasses.replace(low.queries[PLAIN], answers=None)
    (found,) = disagreements(compare_results([low, high])[0], 4)
    assert sum(found.won) > 0
    assert found.cases == ()
