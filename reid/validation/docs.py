"""Data Docs as self-contained pages: readable offline, the same for the same data."""

import re
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

from reid.validation.report import GateReport, Outcome
from reid.validation.rules import STORED_AS
from reid.validation.suite import load_great_expectations

# The library's pages take their style, icons, logo and scripts from the network. All of it goes;
# what the pages say stays.
_FOREIGN = re.compile(
    r"<script\b.*?</script>|<style\b.*?</style>|<link\b[^>]*>|<img\b[^>]*>|<nav\b.*</nav>"
    r"|<footer\b.*?</footer>|<!--.*?-->",
    re.DOTALL,
)
# An anchor that is drawn anew for every page.
_RANDOM = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LINK = re.compile(r"<a\b[^>]*>(.*?)</a>", re.DOTALL)

_STYLE = """<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 75em; padding: 0 1em; }
table { border-collapse: collapse; margin: .5em 0 1.5em; }
td, th { border: 1px solid #bbb; padding: .25em .6em; text-align: left; vertical-align: top; }
td.number { text-align: right; }
.verdict { border-left: .5em solid; font-size: 1.2em; font-weight: bold; padding: .3em .8em; }
.verdict.failed { background: #fdecec; border-color: #b00; }
.verdict.passed { background: #ecf7ec; border-color: #070; }
.text-danger::before, td.failed::before { content: "\\2718\\00a0"; color: #b00; }
.text-success::before, td.passed::before { content: "\\2714\\00a0"; color: #070; }
.text-warning::before, td.warned::before { content: "! "; color: #a60; font-weight: bold; }
td.noted::before { content: "i "; color: #05a; font-weight: bold; }
code { font-size: .9em; overflow-wrap: anywhere; }
td.found { min-width: 24em; }
</style>"""


def write_docs(folder: Path, report: GateReport, results: Mapping[str, Any]) -> None:
    """Write an overview and one page per table.

    Args:
        folder: Where the pages go; it exists.
        report: What the overview shows, failures first.
        results: Per table the validation result of Great Expectations.
    """
    mark = "failed" if report.errors else "passed"
    passed = [o for o in report.expectations if o.success and o not in report.notes]
    links = "".join(f'<li><a href="{name}.html">{name} in detail</a></li>' for name in results)
    parts = [
        f"<h1>{escape(report.dataset)}</h1>",
        f'<p class="verdict {mark}">{escape(report.verdict)}</p>',
        *(_outcome_table("Errors: they stop the pipeline", report.errors, "failed")),
        *(_outcome_table("Warnings", report.warnings, "warned")),
        *(_outcome_table("Notes", report.notes, "noted")),
        _count_table(report.counts),
        *(_outcome_table("Passed", passed, "passed")),
        f"<ul>{links}</ul><p>Suite {escape(report.suite)}, manifest "
        f"<code>{report.manifest_digest}</code></p>",
    ]
    _write_page(folder / "index.html", report.dataset, "".join(parts))
    for name, result in results.items():
        body = f'<p><a href="index.html">Overview</a></p>{render(result)}'
        _write_page(folder / f"{name}.html", f"{report.dataset}: {name}", body)


def render(result: Any) -> str:
    """Render a validation result with the library's own renderer, without what is foreign.

    The library knows only success and failure: the severity is put before the words, and what is
    only told counts as a success.
    """
    load_great_expectations()
    from great_expectations.render.renderer import ValidationResultsPageRenderer
    from great_expectations.render.view import DefaultJinjaPageView

    result.meta.pop("batch_markers", None)  # when the table was loaded
    failed = False
    for entry in result.results:
        config = entry.expectation_config
        severity = _WORDS[str(config.severity.value)]
        entry.success = entry.success or severity == "info"
        config.description = f"{severity}: {config.description}"
        failed = failed or not (entry.success or severity == "warning")
    result.success = not failed
    document = ValidationResultsPageRenderer().render(result)
    overview = document.sections[0]
    overview.content_blocks = overview.content_blocks[:1]  # then versions and times that nobody set
    page = str(DefaultJinjaPageView().render(document))
    body = page[page.index("<body>") + len("<body>") : page.rindex("</body>")]
    return _RANDOM.sub("block", _LINK.sub(r"\1", _FOREIGN.sub("", body)))


_WORDS = {word: severity for severity, word in STORED_AS.items()}


def _outcome_table(title: str, outcomes: Iterable[Outcome], mark: str) -> Iterator[str]:
    """Write a heading and a table, or nothing if there is nothing to tell."""
    rows = [_outcome_row(outcome, mark) for outcome in outcomes]
    if rows:
        head = "<th>expectation</th>"
        if mark != "passed":
            head += "<th>found</th><th>remedy</th>"
        yield f"<h2>{escape(title)}</h2><table><tr>{head}</tr>{''.join(rows)}</table>"


def _outcome_row(outcome: Outcome, mark: str) -> str:
    name = f'<td class="{mark}"><b>{escape(outcome.name)}</b><br>{escape(outcome.says)}</td>'
    if mark == "passed":
        return f"<tr>{name}</tr>"
    found = "".join(f"<br><code>{escape(item)}</code>" for item in outcome.items)
    more = outcome.count - len(outcome.items)
    found += f"<br>and {more} more" if more > 0 else ""
    found = f'<td class="found">{outcome.count}{found}</td>'
    return f"<tr>{name}{found}<td>{escape(outcome.remedy)}</td></tr>"


def _count_table(counts: Mapping[str, Mapping[str, int]]) -> str:
    names = list(next(iter(counts.values()), {}))
    head = "".join(f"<th>{name}</th>" for name in ["split", *names])
    rows = "".join(
        f"<tr><td>{split}</td>"
        + "".join(f'<td class="number">{cells[name]:,}</td>' for name in names)
        + "</tr>"
        for split, cells in counts.items()
    )
    return f"<h2>Counts</h2><table><tr>{head}</tr>{rows}</table>"


def _write_page(path: Path, title: str, body: str) -> None:
    head = f'<meta charset="utf-8"><title>{escape(title)}</title>{_STYLE}'
    page = f"<!DOCTYPE html><html><head>{head}</head><body>{body}</body></html>\n"
    path.write_text(page, encoding="utf-8")
