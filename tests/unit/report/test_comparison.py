import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from reid.errors import EvaluationError
from reid.report.comparison import compare_results, protocol_fields
from reid.retrieval.result import Result

Make = Callable[..., Result]


def test_runs_are_ranked_by_plain_map(make_result: Make) -> None:
    results = [make_result("low", 0.2), make_result("high", 0.8), make_result("mid", 0.5)]
    (table,) = compare_results(results)
    assert [row.run for row in table.rows] == ["high", "mid", "low"]
    assert table.test_set == "synth/market"
    assert table.settings == ("rerank_k20_6_0.3",)
    assert table.apart == ""
    assert table.conditions["manifest_digest"] == "ab" * 32


def test_equal_runs_are_ranked_by_name(make_result: Make) -> None:
    (table,) = compare_results([make_result("b", 0.5), make_result("a", 0.5)])
    assert [row.run for row in table.rows] == ["a", "b"]


def test_a_large_difference_is_significant_and_a_tiny_one_is_not(make_result: Make) -> None:
    results = [make_result("best", 0.8), make_result("near", 0.798), make_result("worst", 0.3)]
    near = np.random.default_rng(5).uniform(-0.3, 0.3, 50)
    scores = results[1].queries["synth/market", "plain"]
    noisy = dataclasses.replace(scores, average_precision=scores.average_precision + near)
    results[1].queries["synth/market", "plain"] = noisy
    (table,) = compare_results(results)
    gaps = {row.run: row.gap for row in table.rows}
    assert gaps["best"] is None
    assert gaps["near"] is not None
    assert not gaps["near"].significant
    assert gaps["worst"] is not None
    assert gaps["worst"].significant
    assert gaps["worst"].difference == pytest.approx(-0.5, abs=0.02)


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("manifest_digest", "cd" * 32, f"manifest_digest ({'ab' * 6}… here, {'cd' * 6}… there)"),
        ("counting", "persons", "counting (images here, persons there)"),
        ("exclusion_rule", "junk; none", "exclusion_rule (junk; same person and camera here, junk"),
        ("trials", 10, "trials (1 here, 10 there)"),
    ],
)
def test_other_conditions_stand_apart(
    make_result: Make, field: str, value: object, reason: str
) -> None:
    first, second = make_result("first", 0.2), make_result("second", 0.9, **{field: value})
    tables = compare_results([first, second])
    assert [[row.run for row in table.rows] for table in tables] == [["first"], ["second"]]
    assert all(row.gap is None for table in tables for row in table.rows)
    assert tables[0].apart.startswith("Not ranked with second, as these differ: ")
    assert reason in tables[0].apart
    assert "Not ranked with first" in tables[1].apart


def test_what_a_run_may_choose_does_not_part_runs(make_result: Make) -> None:
    results = [make_result("a", 0.5), make_result("b", 0.4, uses_camera_ids=True, flip=True)]
    (table,) = compare_results(results)
    assert [row.stated["uses_camera_ids"] for row in table.rows] == [False, True]


def test_every_test_set_has_its_table(make_result: Make) -> None:
    results = [make_result("a", 0.5), make_result("a", 0.4, test_set="far/market")]
    assert [table.test_set for table in compare_results(results)] == ["far/market", "synth/market"]


def test_other_queries_under_the_same_manifest_are_an_error(make_result: Make) -> None:
    first, second = make_result("first", 0.2), make_result("second", 0.3)
    scores = first.queries["synth/market", "plain"]
    swapped = dataclasses.replace(scores, paths=scores.paths[::-1])
    first.queries["synth/market", "plain"] = swapped
    with pytest.raises(EvaluationError, match="first and second scored different queries"):
        compare_results([first, second])


def test_protocol_fields_leave_the_run_out(make_result: Make) -> None:
    fields = protocol_fields(make_result("a", 0.5).cards["synth/market"])
    assert fields["manifest_digest"] == "ab" * 32
    assert not {"method", "device", "images_per_second", "precision"} & set(fields)
