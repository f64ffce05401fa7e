import csv
import re
from collections.abc import Callable
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from reid.report.comparison import ComparedRuns, compare_results
from reid.report.comparison_files import write_comparison
from reid.report.terminal import terminal_table
from reid.retrieval.result import Result

Make = Callable[..., Result]
RERANK = "rerank_k20_6_0.3"


class Cells(HTMLParser):
    """Collects the text of every table cell, row by row."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.open = False

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag == "tr":
            self.rows.append([])
        self.open = tag in ("td", "th")
        if self.open:
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if self.open:
            self.rows[-1][-1] += data.strip()


@pytest.fixture
def tables(make_result: Make) -> tuple[ComparedRuns, ...]:
    high = make_result("high", 0.8, uses_camera_ids=True, backends={"scan": "torch"})
    runs = [make_result("low", 0.2, backends={}), high]
    deviation = {"plain": {"mAP": 0.0123}}
    trials = make_result("other", 0.5, trials=10, trial_deviation=deviation)
    return compare_results([*runs, trials])


@pytest.fixture
def written(tables: tuple[ComparedRuns, ...], tmp_path: Path) -> Path:
    write_comparison(tmp_path, "demo", tables)
    return tmp_path


def test_the_page_is_complete_and_ordered(written: Path) -> None:
    page = (written / "comparison.html").read_text()
    assert not re.search(r"https?:|//|src=|href=|@import|url\(", page.replace("</", "<"))
    cells = Cells()
    cells.feed(page)
    names = [row[0] for row in cells.rows if row[0] in ("high", "low", "other")]
    assert names == ["high", "low", "other"]
    high = next(row for row in cells.rows if row[0] == "high")
    heads = next(row for row in cells.rows if row[0] == "run")
    assert len(high) == len(heads)
    assert heads[2:8] == ["mAP", "R1", "R5", "R10", "mINP", "mAP to best"]
    assert high[heads.index("camera ids")] == "yes"
    assert high[heads.index("backends")] == "scan: torch"
    low = next(row for row in cells.rows if row[0] == "low")
    assert low[heads.index("backends")] == "-"
    assert high[7] == "best"
    assert RERANK in next(row for row in cells.rows if "plain" in row)


def test_names_cannot_break_the_page(make_result: Make, tmp_path: Path) -> None:
    write_comparison(tmp_path, "demo", compare_results([make_result("<b>&|", 0.5)]))
    assert "<b>&" not in (tmp_path / "comparison.html").read_text()
    lines = (tmp_path / "comparison.md").read_text().splitlines()
    assert any(line.startswith(r"| <b>&\| |") for line in lines)


def test_markdown_says_why_tables_are_apart(written: Path) -> None:
    text = (written / "comparison.md").read_text()
    assert "> Not ranked with other, as these differ: trials (1 here, 10 there)." in text
    assert f"{RERANK} mAP" in text
    assert re.search(r"\| other \| bot \| \d\d\.\d\d ± 1\.23 \|", text)
    widths = {line.count("|") for line in text.splitlines() if line.startswith("|")}
    assert len(widths) == 1
    assert "- exclusion rule: junk; same person and camera" in text


def test_csv_keeps_every_digit(written: Path, tables: tuple[ComparedRuns, ...]) -> None:
    with (written / "comparison.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["run"], row["table"], row["place"]) for row in rows] == [
        ("high", "1", "1"),
        ("low", "1", "2"),
        ("other", "2", "1"),
    ]
    best, low = tables[0].rows
    assert float(rows[0]["mAP"]) == best.plain["mAP"]
    assert float(rows[0][f"{RERANK}/mAP"]) == best.reranked[RERANK]["mAP"]
    assert (rows[0]["difference"], rows[1]["significant"]) == ("", "True")
    assert low.gap is not None
    assert float(rows[1]["difference_low"]) == low.gap.low


def test_writing_twice_gives_the_same_bytes(
    written: Path, tables: tuple[ComparedRuns, ...], tmp_path: Path
) -> None:
    write_comparison(tmp_path / "again", "demo", tables)
    for name in ("comparison.html", "comparison.md", "comparison.csv"):
        assert (tmp_path / "again" / name).read_bytes() == (written / name).read_bytes()


def test_a_study_without_results_is_written_too(tmp_path: Path) -> None:
    write_comparison(tmp_path, "demo", ())
    assert (tmp_path / "comparison.csv").read_text() == "study\n"


def test_the_terminal_shows_plain_and_reranked_in_80_columns(make_result: Make) -> None:
    results = [make_result("transreid_base", 0.8), make_result("bot", 0.2)]
    results += [make_result("other", 0.5, trials=10)]
    console = Console(width=80, file=StringIO())
    with console.capture() as shown:
        console.print(terminal_table(compare_results(results)[0]))
    text = shown.get()
    best, worst = (line.split() for line in text.splitlines() if re.search(r"\d\d\.\d\d", line))
    assert (best[0], best[6], worst[0]) == ("transreid_base", "best", "bot")
    assert re.fullmatch(r"-\d\d\.\d\d", worst[6])
    assert float(best[7]) == pytest.approx(float(best[1]) + 10)
    assert "k20_6_0.3 k20_6_0.3" in text
    assert "Not ranked with other" in text


def test_the_terminal_marks_what_may_be_luck(make_result: Make) -> None:
    first, second = make_result("first", 0.5), make_result("second", 0.5)
    console = Console(width=80, file=StringIO())
    with console.capture() as shown:
        console.print(terminal_table(compare_results([first, second])[0]))
    assert re.search(r"0\.\d\d ~", shown.get())


def test_a_variant_says_what_it_exploits_and_ranks_nothing(
    make_result: Make, tmp_path: Path
) -> None:
    variant, said = "rerank_query_only_k20_6_0.3", "exploits that all test queries are known"
    low, high = make_result("low", 0.2), make_result("high", 0.8)
    low.cards["synth/market"]["rerank_variants"] = {variant: said}
    low.queries["synth/market", variant] = low.queries["synth/market", "plain"]
    low.metrics.update({f"synth/market/{variant}/{name}": 0.99 for name in ("mAP", "rank1")})
    tables = compare_results([low, high])
    assert [row.run for row in tables[0].rows] == ["high", "low"]
    write_comparison(tmp_path, "demo", tables)
    for name in ("comparison.html", "comparison.md"):
        assert f"{variant} {said}. It ranks no run;" in (tmp_path / name).read_text()
    shown = Console(width=200, record=True, file=StringIO())
    shown.print(terminal_table(tables[0]))
    assert f"{variant} {said}." in " ".join(shown.export_text().split())
