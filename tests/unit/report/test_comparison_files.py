import csv
import re
from collections.abc import Callable
from functools import partial
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
Write = Callable[[Path, str, tuple[ComparedRuns, ...]], None]


class Cells(HTMLParser):
    """Collects the text of every table cell, row by row."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.open = False

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.open = True
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self.open = self.open and tag not in ("td", "th")

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
def write(read_image: Callable[[str, str], bytes]) -> Write:
    return partial(write_comparison, read_image=read_image, mlflow="http://127.0.0.1:5000")


@pytest.fixture
def written(tables: tuple[ComparedRuns, ...], write: Write, tmp_path: Path) -> Path:
    write(tmp_path, "demo", tables)
    return tmp_path


def test_the_page_is_complete_and_ordered(written: Path) -> None:
    page = (written / "comparison.html").read_text()
    outside = re.findall(r"""(?:src|href)=["'](?!data:|#)([^"']*)""", page)
    assert set(outside) == {"http://127.0.0.1:5000/#/runs/0123abcd"}
    rest = re.sub(r"http://127\.0\.0\.1:5000/#/runs/\w+|data:[^\"]+", "", page)
    assert not re.search(r"https?:|//|@import|url\(", rest)
    cells = Cells()
    cells.feed(page)
    scores = [row for row in cells.rows if len(row) > 7 and row[1] == "bot"]
    assert [row[0] for row in scores] == ["high", "low", "other"]
    heads = next(row for row in cells.rows if row[:2] == ["run", "method"])
    assert len(scores[0]) == len(heads)
    plain = ["mAP", "95 %", "group", "R1", "R5", "R10", "mINP", "mAP to best"]
    assert heads[2:] == [*plain, "mAP", "R1"]
    assert (scores[0][4], scores[1][4], scores[0][9]) == ("a", "b", "best")
    assert RERANK in next(row for row in cells.rows if "plain" in row)
    heads = next(row for row in cells.rows if row[:2] == ["run", "trained on"])
    high, low, _ = (row for row in cells.rows if len(row) == len(heads) and "synth" in row)
    assert high[heads.index("camera ids")] == "yes"
    assert high[heads.index("backends")] == "scan: torch"
    assert low[heads.index("backends")] == "-"
    assert high[heads.index("MLflow run")] == "0123abcd"


def test_names_cannot_break_the_page(make_result: Make, write: Write, tmp_path: Path) -> None:
    odd = [make_result('<i>&|"', level, method=f"<u>{level}") for level in (0.5, 0.3)]
    write(tmp_path, "<s>", compare_results(odd))
    page = (tmp_path / "comparison.html").read_text()
    assert not re.search(r"<[ius]>", page)
    assert "&lt;i&gt;&amp;|&#34;" in page
    lines = (tmp_path / "comparison.md").read_text().splitlines()
    assert any(line.startswith(r'| <i>&\|" |') for line in lines)


def test_markdown_says_why_tables_are_apart(written: Path) -> None:
    text = (written / "comparison.md").read_text()
    assert "> Not ranked with other, as these differ: trials (1 here, 10 there)." in text
    assert f"{RERANK} mAP" in text
    assert re.search(r"\| other \| bot \| \d\d\.\d\d ± 1\.23 \|", text)
    widths = {line.count("|") for line in text.splitlines() if line.startswith("|")}
    assert len(widths) == 3  # scores, cost, and how each was made, of every test set alike
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
    assert float(rows[1]["mAP_high"]) == low.interval.high
    assert (rows[0]["groups"], rows[1]["groups"]) == ("a", "b")
    assert (rows[0]["parameters"], rows[0]["mlflow_run_id"]) == ("1234567", "0123abcd")


def test_writing_twice_gives_the_same_bytes(
    written: Path, write: Write, tables: tuple[ComparedRuns, ...], tmp_path: Path
) -> None:
    write(tmp_path / "again", "demo", tables)
    for name in ("comparison.html", "comparison.md", "comparison.csv"):
        assert (tmp_path / "again" / name).read_bytes() == (written / name).read_bytes()


def test_a_study_without_results_is_written_too(write: Write, tmp_path: Path) -> None:
    write(tmp_path, "demo", ())
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
    make_result: Make, write: Write, tmp_path: Path
) -> None:
    variant, said = "rerank_query_only_k20_6_0.3", "exploits that all test queries are known"
    low, high = make_result("low", 0.2), make_result("high", 0.8)
    low.cards["synth/market"]["rerank_variants"] = {variant: said}
    low.queries["synth/market", variant] = low.queries["synth/market", "plain"]
    low.metrics.update({f"synth/market/{variant}/{name}": 0.99 for name in ("mAP", "rank1")})
    tables = compare_results([low, high])
    assert [row.run for row in tables[0].rows] == ["high", "low"]
    write(tmp_path, "demo", tables)
    for name in ("comparison.html", "comparison.md"):
        assert f"{variant} {said}. It ranks no run;" in (tmp_path / name).read_text()
    shown = Console(width=200, record=True, file=StringIO())
    shown.print(terminal_table(tables[0]))
    assert f"{variant} {said}." in " ".join(shown.export_text().split())
