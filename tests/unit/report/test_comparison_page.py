import dataclasses
import re
from collections.abc import Callable
from html.parser import HTMLParser

import numpy as np
import pytest

from reid.report.comparison import ComparedRuns, compare_results
from reid.report.comparison_page import comparison_page
from reid.report.thumbnail import thumbnail
from reid.report.verdict import verdict
from reid.retrieval.bootstrap import interval, paired_bootstrap
from reid.retrieval.result import Result

Make = Callable[..., Result]
Read = Callable[[str, str], bytes]
MLFLOW = "http://127.0.0.1:5000"
PLAIN = ("synth/market", "plain")


class Elements(HTMLParser):
    """Collects the elements with their attributes, and checks that each is closed."""

    EMPTY = ("meta", "link", "img")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


@pytest.fixture
def tables(make_result: Make) -> tuple[ComparedRuns, ...]:
    runs = [("transreid", 0.8), ("bot", 0.6), ("idkl", 0.3)]
    return compare_results(make_result(name, level, method=name) for name, level in runs)


def test_figures_and_pictures_can_be_read_out(
    tables: tuple[ComparedRuns, ...], read_image: Read
) -> None:
    page = Elements(comparison_page("demo", tables, read_image, MLFLOW))
    labels = [figure["aria-label"] for figure in page.named("svg")]
    kinds = ("Matching curves, plain", "Matching curves, rerank", "mAP against", "mAP of")
    assert [sum(str(label).startswith(kind) for label in labels) for kind in kinds] == [1, 1, 6, 3]
    assert len(labels) == 11
    assert all(figure["role"] == "img" for figure in page.named("svg"))
    pictures = [str(picture["alt"]) for picture in page.named("img")]
    assert pictures
    assert {re.sub(r" .*", "", alt) for alt in pictures} == {"query", "right", "wrong"}


def test_all_that_scrolls_or_sorts_is_reached_by_keyboard(
    tables: tuple[ComparedRuns, ...], read_image: Read
) -> None:
    page = Elements(comparison_page("demo", tables, read_image, MLFLOW))
    ids = [a["id"] for _, a in page.found if a.get("id")]
    assert len(ids) == len(set(ids))
    regions = [a for _, a in page.found if a.get("class") == "scroll"]
    assert len(regions) == len(page.named("table")) == 4
    assert all(region["tabindex"] == "0" and region["aria-label"] for region in regions)
    inside = [str(a["href"])[1:] for a in page.named("a") if str(a["href"]).startswith("#")]
    assert inside
    assert set(inside) <= set(ids)


def test_the_page_stays_below_3_mb(make_result: Make, read_image: Read) -> None:
    results = [
        make_result(f"run{number}", 0.2 + 0.08 * number, f"set{place}/market", method=str(number))
        for place in range(4)
        for number in range(8)
    ]
    page = comparison_page("demo", compare_results(results), read_image, MLFLOW)
    assert 200 < page.count("data:image/jpeg") <= 336
    assert len(page.encode()) < 3_000_000


def test_pictures_grow_fewer_with_more_pairs(make_result: Make, read_image: Read) -> None:
    results = [
        make_result(f"run{number}", 0.1 + 0.06 * number, f"set{place}/market", method=str(number))
        for place in range(5)
        for number in range(13)
    ]
    page = comparison_page("demo", compare_results(results), read_image, MLFLOW)
    assert page.count("data:image/jpeg") <= 360


def test_old_cards_leave_cells_empty_and_charts_out(make_result: Make, read_image: Read) -> None:
    results = [make_result(name, 0.5, method=name) for name in ("a", "bb")]
    for result in results:
        card = result.cards["synth/market"]
        del card["cost"], card["mlflow_run_id"]
        result.breakdowns["synth/market"] = {}
        result.queries[PLAIN] = dataclasses.replace(result.queries[PLAIN], answers=None)
    page = comparison_page("demo", compare_results(results), read_image, MLFLOW)
    assert "mAP against images/s" in page
    assert "mAP against parameters" not in page
    assert "pair of cameras" not in page
    assert "data:image/jpeg" not in page
    assert "run\n<code>reid evaluate</code> for both again" in page
    assert MLFLOW not in page


def test_uncounted_operations_are_named_and_not_drawn(make_result: Make, read_image: Read) -> None:
    results = [make_result(name, 0.5) for name in ("a", "bb", "ccc")]
    card = results[1].cards["synth/market"]
    card["cost"] = {**card["cost"], "flops_without": ["scan"]}
    page = comparison_page("demo", compare_results(results), read_image, MLFLOW)
    assert "2.11 M, scan not counted" in page
    assert re.search(r"cannot be\s+counted: bb\.", page)
    (chart,) = re.findall(r'aria-label="mAP against FLOP per image[^"]*"', page)
    assert "bb" not in chart


def test_intervals_are_those_of_the_bootstrap(make_result: Make) -> None:
    results = [make_result("best", 0.7), make_result("second", 0.6)]
    (table,) = compare_results(results, seed=5)
    for row, result in zip(table.rows, results, strict=True):
        assert row.interval == interval(result.queries[PLAIN].average_precision, 5)
        assert row.interval.low < row.plain["mAP"] < row.interval.high
    said = verdict(table)
    second, first = (results[place].queries[PLAIN].average_precision for place in (1, 0))
    gap = paired_bootstrap(first, second, 5)
    low, high = sorted((gap.low, gap.high))
    assert said.startswith(f"best: plain mAP {100 * np.nanmean(first):.2f} [")
    ahead = float(re.findall(r", (-?[\d.]+) \[", said)[0])
    assert 100 * low < ahead < 100 * high
    assert said.endswith("All other runs are significantly worse.")


def test_the_verdict_names_those_that_may_be_as_good(make_result: Make) -> None:
    results = [make_result("best", 0.7), make_result("same", 0.7), make_result("worse", 0.2)]
    said = verdict(compare_results(results)[0])
    assert said.endswith("Not significantly worse: same; significantly worse: the other 1.")
    alone = verdict(compare_results(results[:1])[0])
    assert alone.endswith("No other run was measured in the same way.")


def test_tables_that_stand_apart_have_numbers(make_result: Make, read_image: Read) -> None:
    results = [make_result("a", 0.5), make_result("b", 0.4, trials=10)]
    page = comparison_page("demo", compare_results(results), read_image, MLFLOW)
    assert "synth/market (1 of 2)" in page
    assert "Not ranked with a, as these differ: trials" in page


def test_a_thumbnail_keeps_its_proportions(read_image: Read) -> None:
    data = read_image("a", "b")
    assert thumbnail(data) == thumbnail(data)
    assert len(thumbnail(data)) < 7000  # of noise
