"""Data Docs as self-contained pages: readable offline, the same for the same data."""

import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from reid.validation.report import Outcome
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
.text-danger::before, .failed::before { content: "\\2718 "; color: #b00; }
.text-success::before, .passed::before { content: "\\2714 "; color: #070; }
.text-warning::before, .warned::before { content: "! "; color: #a60; font-weight: bold; }
code { word-break: break-all; }
</style>"""


def write_docs(
    folder: Path, title: str, outcomes: Sequence[Outcome], results: Mapping[str, Any]
) -> None:
    """Write an overview and one page per table.

    Args:
        folder: Where the pages go; it exists.
        title: Name of the data set.
        outcomes: What the overview lists.
        results: Per table the validation result of Great Expectations.
    """
    links = "".join(f'<li><a href="{name}.html">{name} in detail</a></li>' for name in results)
    rows = "".join(_overview_row(outcome) for outcome in outcomes)
    body = f"<h1>{escape(title)}</h1><table>{_HEAD}{rows}</table><ul>{links}</ul>"
    _write_page(folder / "index.html", title, body)
    for name, result in results.items():
        _write_page(folder / f"{name}.html", f"{title}: {name}", render(result))


def render(result: Any) -> str:
    """Render a validation result with the library's own renderer, without what is foreign."""
    load_great_expectations()
    from great_expectations.render.renderer import ValidationResultsPageRenderer
    from great_expectations.render.view import DefaultJinjaPageView

    result.meta.pop("batch_markers", None)  # when the table was loaded
    document = ValidationResultsPageRenderer().render(result)
    page = str(DefaultJinjaPageView().render(document))
    body = page[page.index("<body>") + len("<body>") : page.rindex("</body>")]
    return _RANDOM.sub("block", _LINK.sub(r"\1", _FOREIGN.sub("", body)))


_HEAD = "<tr><th>expectation</th><th>severity</th><th>found</th><th>remedy</th></tr>"


def _overview_row(outcome: Outcome) -> str:
    failed = "failed" if outcome.severity == "error" else "warned"
    mark = "passed" if outcome.success else failed
    found = "".join(f"<br><code>{escape(item)}</code>" for item in outcome.items)
    cells = (
        f'<span class="{mark}"></span>{escape(outcome.name)}<br>{escape(outcome.says)}',
        outcome.severity,
        f"{outcome.count}{found}",
        "" if outcome.success else escape(outcome.remedy),
    )
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _write_page(path: Path, title: str, body: str) -> None:
    head = f'<meta charset="utf-8"><title>{escape(title)}</title>{_STYLE}'
    page = f"<!DOCTYPE html><html><head>{head}</head><body>{body}</body></html>\n"
    path.write_text(page, encoding="utf-8")
