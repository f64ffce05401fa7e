"""The comparison of a study as HTML, Markdown and CSV."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment

from reid.files import write_whole
from reid.report import cells
from reid.report.comparison import (
    FIGURES,
    RERANKED_FIGURES,
    RUN_FIELDS,
    ComparedRun,
    ComparedRuns,
)

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{{ study }}: comparison</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; color: #1b1b1b; margin: 2rem auto; max-width: 90rem;
       padding: 0 1.5rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; white-space: nowrap; }
th, td { padding: .35rem .7rem; border-bottom: 1px solid #ddd; text-align: right; }
th { background: #f3f5f8; font-weight: 600; vertical-align: bottom; }
th.name, td.name { text-align: left; } thead th.group { text-align: center; }
.reranked { background: #fbf6ea; } tr.best td.main { font-weight: 700; }
.luck { color: #8a5a00; } .apart { border-left: 4px solid #c77700; padding-left: .8rem; }
.remark { color: #8a5a00; margin: .4rem 0; }
dl { display: flex; flex-wrap: wrap; gap: .2rem 1.6rem; color: #444; font-size: .9rem; }
dt, dd { display: inline; margin: 0; } dt { color: #777; } dd { overflow-wrap: anywhere; }
</style>
</head>
<body>
<h1>Comparison of study {{ study }}</h1>
<p>{{ cells.NOTE }}</p>
{% for table in tables %}
<h2>{{ table.test_set }}</h2>
{% if table.apart %}<p class="apart">{{ table.apart }}</p>{% endif %}
<div class="scroll"><table>
<thead>
<tr><th class="name" colspan="2"></th>
<th class="group" colspan="{{ figures|length + 1 }}">plain</th>
{% for setting in table.settings %}<th class="group reranked" colspan="{{ reranked|length }}">
{{ setting }}</th>{% endfor %}
<th class="group" colspan="{{ fields|length }}">how it was made</th></tr>
<tr><th class="name">run</th><th class="name">method</th>
{% for name in figures %}<th>{{ cells.HEADS[name] }}</th>{% endfor %}
<th class="name">mAP to best</th>
{% for setting in table.settings %}{% for name in reranked %}
<th class="reranked">{{ cells.HEADS[name] }}</th>{% endfor %}{% endfor %}
{% for field in fields %}<th class="name">{{ cells.FIELD_HEADS[field] }}</th>{% endfor %}</tr>
</thead>
<tbody>
{% for row in table.rows %}
<tr{% if loop.first %} class="best"{% endif %}>
<td class="name">{{ row.run }}</td><td class="name">{{ row.method }}</td>
{% for name in figures %}<td{% if loop.first %} class="main"{% endif %}>
{{- cells.figure(row, name) }}</td>{% endfor %}
<td class="name{% if row.gap and not row.gap.significant %} luck{% endif %}">
{{- cells.gap(row) }}</td>
{% for setting in table.settings %}{% for name in reranked %}
<td class="reranked">{{ cells.reranked(row, setting, name) }}</td>{% endfor %}{% endfor %}
{% for field in fields %}<td class="name">{{ cells.stated(row.stated[field]) }}</td>{% endfor %}
</tr>
{% endfor %}
</tbody>
</table></div>
{% for remark in cells.remarks(table) %}<p class="remark">{{ remark }}</p>{% endfor %}
<dl>{% for key, value in cells.conditions(table) %}
<div><dt>{{ key }}</dt> <dd>{{ value }}</dd></div>{% endfor %}</dl>
{% endfor %}
</body>
</html>
"""


def write_comparison(folder: Path, study: str, tables: Sequence[ComparedRuns]) -> None:
    """Write `comparison.html`, `comparison.md` and `comparison.csv`.

    The page is complete in itself: it loads nothing. No file holds a time of writing.
    """
    write_whole(folder / "comparison.html", _html(study, tables))
    write_whole(folder / "comparison.md", _markdown(study, tables))
    write_whole(folder / "comparison.csv", _csv(study, tables))


def _html(study: str, tables: Sequence[ComparedRuns]) -> str:
    environment = Environment(autoescape=True, trim_blocks=True)
    return environment.from_string(_PAGE).render(
        study=study,
        tables=tables,
        cells=cells,
        figures=FIGURES,
        reranked=RERANKED_FIGURES,
        fields=RUN_FIELDS,
    )


def _markdown(study: str, tables: Sequence[ComparedRuns]) -> str:
    lines = [f"# Comparison of study {study}", "", cells.NOTE]
    for table in tables:
        lines += ["", f"## {table.test_set}", ""]
        if table.apart:
            lines += [f"> {table.apart}", ""]
        extra = [(s, name) for s in table.settings for name in RERANKED_FIGURES]
        heads = ["run", "method", *(cells.HEADS[name] for name in FIGURES), "mAP to best"]
        heads += [f"{setting} {cells.HEADS[name]}" for setting, name in extra]
        heads += [cells.FIELD_HEADS[field] for field in RUN_FIELDS]
        lines += [_line(heads), _line(["---"] * len(heads))]
        for row in table.rows:
            values = [row.run, row.method, *(cells.figure(row, name) for name in FIGURES)]
            values += [cells.gap(row)]
            values += [cells.reranked(row, setting, name) for setting, name in extra]
            lines.append(_line([*values, *(cells.stated(row.stated[f]) for f in RUN_FIELDS)]))
        for remark in cells.remarks(table):
            lines += ["", remark]
        lines += ["", *(f"- {key}: {value}" for key, value in cells.conditions(table))]
    return "\n".join(lines) + "\n"


def _line(values: Sequence[str]) -> str:
    return f"| {' | '.join(value.replace('|', chr(92) + '|') for value in values)} |"


def _csv(study: str, tables: Sequence[ComparedRuns]) -> str:
    """Write one row per run and table; `table` counts the ways in which a test set was measured."""
    settings = list(dict.fromkeys(setting for table in tables for setting in table.settings))
    rows: list[dict[str, object]] = []
    seen: dict[str, int] = {}
    for table in tables:
        seen[table.test_set] = seen.get(table.test_set, 0) + 1
        for place, row in enumerate(table.rows, start=1):
            head = {"study": study, "test_set": table.test_set, "table": seen[table.test_set]}
            rows.append({**head, "place": place, **_csv_row(row, settings), **table.conditions})
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]) if rows else ["study"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def _csv_row(row: ComparedRun, settings: Sequence[str]) -> dict[str, object]:
    gap = row.gap
    return {
        "run": row.run,
        "method": row.method,
        **row.plain,
        "difference": gap.difference if gap else None,
        "difference_low": gap.low if gap else None,
        "difference_high": gap.high if gap else None,
        "significant": gap.significant if gap else None,
        **{
            f"{setting}/{name}": row.reranked.get(setting, {}).get(name)
            for setting in settings
            for name in RERANKED_FIGURES
        },
        **row.stated,
    }
