"""What the page of a comparison looks like. It loads nothing and works without its script."""

STYLE = """
:root { --ink: #1b1b1b; --faint: #595959; --line: #d9dde3; --head: #f3f5f8; --again: #fbf4e2;
        --accent: #0b57a4; }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: #fff;
       margin: 0 auto; max-width: 88rem; padding: 1rem 1.2rem 3rem; }
h1 { font-size: 1.6rem; margin: .4rem 0; } h2 { font-size: 1.3rem; margin: 2.6rem 0 .4rem; }
h3 { font-size: 1.05rem; margin: 1.6rem 0 .3rem; }
h2 { border-top: 2px solid var(--line); padding-top: 1.2rem; overflow-wrap: anywhere; }
a { color: var(--accent); } :focus-visible { outline: 3px solid #f0a000; outline-offset: 2px; }
.skip { position: absolute; left: -99rem; } .skip:focus { left: 1rem; background: #fff; }
.verdict { border: 2px solid var(--accent); border-radius: .5rem; padding: .2rem 1.1rem .6rem; }
.verdict li { margin: .35rem 0; } .verdict { overflow-wrap: anywhere; }
.note, figcaption, .conditions { color: var(--faint); font-size: .87rem; max-width: 62rem; }
.apart { border-left: 4px solid #c77700; padding-left: .8rem; } .remark { color: #7a5200; }
.scroll { overflow-x: auto; margin: .5rem 0; }
table { border-collapse: collapse; white-space: nowrap; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid var(--line); text-align: right; }
thead th { background: var(--head); font-weight: 600; vertical-align: bottom; }
tbody th { font-weight: 600; } .name { text-align: left; } thead th.group { text-align: center; }
th button { all: unset; cursor: pointer; } th button:focus-visible { outline: 3px solid #f0a000; }
th button::after { content: " ↕"; color: var(--faint); }
th[aria-sort=ascending] button::after { content: " ↑"; }
th[aria-sort=descending] button::after { content: " ↓"; }
thead th.reranked, .reranked { background: var(--again); }
.reranked.first, td.first { border-left: 2px solid #c9a95a; }
tr.best td.main, tr.best tbody th { font-weight: 700; } .range { color: var(--faint); }
.number { font: bold 11px system-ui, sans-serif; fill: #fff; text-anchor: middle; }
.badge { display: inline-block; min-width: 1.45em; border-radius: 1em; color: #fff; font-size: .8em;
         font-weight: 700; text-align: center; margin-right: .4em; }
.legend { list-style: none; padding: 0; margin: .4rem 0; display: flex; flex-wrap: wrap;
          gap: .2rem 1rem; }
.figures { display: flex; flex-wrap: wrap; gap: .8rem 1.2rem; align-items: flex-start; }
figure { margin: 0; max-width: 100%; } svg { max-width: 100%; height: auto; }
svg text { font: 11px system-ui, sans-serif; fill: #333; } svg .up { text-anchor: end; }
svg .across { text-anchor: middle; } svg .grid { stroke: #e3e6ea; } svg text.light { fill: #fff; }
svg text.number { font-weight: 700; fill: #fff; }
.cases { display: flex; flex-wrap: wrap; gap: .7rem; }
.case { display: flex; gap: .4rem; padding: .4rem; border: 1px solid var(--line);
        border-radius: .3rem; }
.case figure { width: 74px; font-size: .75rem; line-height: 1.25; }
.case figcaption { font-size: .72rem; overflow-wrap: anywhere; }
.case img { border: 4px solid #1f5fbf; display: block; max-width: 72px; }
.case .right img { border-color: #1a8a34; } .case .wrong img { border: 4px dashed #c22; }
dl { display: flex; flex-wrap: wrap; gap: .2rem 1.6rem; }
dt, dd { display: inline; margin: 0; } dd { overflow-wrap: anywhere; color: var(--ink); }
@media (max-width: 40rem) { body { padding: .6rem .7rem 2rem; font-size: 14px; }
  th, td { padding: .3rem .4rem; } .pinned { position: sticky; left: 0; background: #fff;
  min-width: 7rem; max-width: 9.5rem; overflow-wrap: break-word; white-space: normal; }
  thead .pinned { background: var(--head); } }
@media print { @page { size: A4 landscape; margin: 10mm; } body { padding: 0; font-size: 9.5pt; }
  nav, .skip, th button::after { display: none; } .scroll { overflow: visible; }
  table { font-size: 7.2pt; white-space: normal; } th, td { padding: .15rem .3rem; }
  tr, figure, .case, .verdict { break-inside: avoid; } h2, h3 { break-after: avoid; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""

SCRIPT = """
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0], heads = [...table.tHead.rows].at(-1).cells;
  const value = (row, column) => row.cells[column].dataset.value ?? row.cells[column].textContent;
  const order = (a, b) => a === "" || b === "" ? (a === "") - (b === "")
    : isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b;
  [...heads].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const sign = head.ariaSort === "descending" ? 1 : -1;
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", sign < 0 ? "descending" : "ascending");
      const filled = row => value(row, column) !== "";
      body.append(...[...body.rows].sort((a, b) =>
        (filled(a) && filled(b) ? sign : 1) * order(value(a, column), value(b, column))));
    });
  });
}
"""

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ study }}: comparison</title>
<link rel="icon" href="data:,">
<style>{{ style }}</style>
</head>
<body>
<a class="skip" href="#verdict">To the verdict</a>
<h1>Comparison of study {{ study }}</h1>
<main>
<section class="verdict" id="verdict" aria-labelledby="verdict-head">
<h2 id="verdict-head" style="border: 0; margin: 0; padding: .4rem 0 0">Verdict</h2>
<ul>
{% for view in views %}
<li><a href="#{{ view.id }}">{{ view.title }}</a>: <b>{{ view.table.rows[0].run }}</b>
{{- view.verdict.removeprefix(view.table.rows[0].run) }}</li>
{% endfor %}
</ul>
</section>
{% if views %}
<h2>Overview</h2>
{{ overview }}
<p class="note">{{ note }}</p>
{% endif %}
{% for view in views %}
<section aria-labelledby="{{ view.id }}">
<h2 id="{{ view.id }}">{{ view.title }}</h2>
{% if view.table.apart %}<p class="apart">{{ view.table.apart }}</p>{% endif %}
<p>{{ view.verdict }}</p>
{{ view.scores }}
{% for remark in view.remarks %}<p class="remark">{{ remark }}</p>{% endfor %}
<dl class="conditions">{% for key, value in view.conditions %}
<div><dt>{{ key }}</dt> <dd>{{ value }}</dd></div>{% endfor %}</dl>
<h3>Cost</h3>
{{ view.costs }}
<p class="note">{{ cost_note }}</p>
<h3>How each was made</h3>
{{ view.making }}
<h3>Figures</h3>
<ul class="legend" aria-label="Numbers and colours of the runs">
{% for row in view.table.rows %}<li><span class="badge" style="background:
{{- colour(loop.index0) }}">{{ loop.index }}</span>{{ row.run }}</li>{% endfor %}
</ul>
<div class="figures">
{% for setting, figure in view.curves %}
<figure>{{ figure }}<figcaption>Matching curves, {{ setting }}</figcaption></figure>
{% endfor %}
{% for figure in view.cost_figures %}<figure>{{ figure }}</figure>{% endfor %}
</div>
{% if view.uncounted %}<p class="note">Not in the chart of FLOP, as a part of them cannot be
counted: {{ view.uncounted }}.</p>{% endif %}
{% if view.cameras %}
<h3>mAP by pair of cameras, plain</h3>
<p class="note">Each query against the gallery of one camera alone. From {{ view.least }} % (pale)
to 100 % (dark), the same for all runs; grey: no query.</p>
<div class="figures">
{% for run, figure in view.cameras %}<figure>{{ figure }}<figcaption>{{ run }}</figcaption></figure>
{% endfor %}
</div>
{% endif %}
{% if view.disagreements %}
<h3>Where methods disagree</h3>
<p class="note">The best run of each method against that of the next one, by whether the first
plain answer to a query shows the right person. Blue: the query; green: right; red and dashed:
wrong. Shown are those whose average precisions (AP) are farthest apart.</p>
{% for found in view.disagreements %}
<p><b>{{ found.first }}</b> alone is right on {{ found.won[0] }}, <b>{{ found.second }}</b> alone on
{{ found.won[1] }}, both on {{ found.both }}, neither on {{ found.neither }} queries.
{% if not found.cases and found.won != (0, 0) %}The record holds no answers to show: run
<code>reid evaluate</code> for both again.{% endif %}</p>
<div class="cases">
{% for case in found.cases %}
<div class="case" role="group" aria-label="Query {{ case.query }}">
<figure><img src="{{ picture(view.table, case.query) }}" alt="query {{ case.query }}">
<figcaption>query</figcaption></figure>
{% for answer in case.answers %}
{% set word = "right" if answer.right else "wrong" %}
<figure class="{{ word }}"><img src="{{ picture(view.table, answer.path) }}"
alt="{{ word }} answer of {{ answer.run }}: {{ answer.path }}">
<figcaption>{{ answer.run }}: {{ word }}, AP {{ percent(answer.average_precision) }}</figcaption>
</figure>
{% endfor %}
</div>
{% endfor %}
</div>
{% endfor %}
{% endif %}
</section>
{% endfor %}
</main>
<script>{{ script }}</script>
</body>
</html>
"""

TABLE = """<div class="scroll" role="region" tabindex="0" aria-label="{{ caption }}">
<table{% if sortable %} class="sortable"{% endif %}>
<thead>
{% if spans %}<tr>{% for span in spans %}
<th colspan="{{ span.columns }}" class="group{{ ' reranked first' if span.again }}"
 scope="colgroup">{{ span.name }}</th>{% endfor %}</tr>{% endif %}
<tr>{% for column in columns %}
<th scope="col" class="{{ column.classes }}">{{ column.head }}</th>{% endfor %}</tr>
</thead>
<tbody>
{% for row in rows %}
<tr{% if loop.first and ranked %} class="best"{% endif %}>
{% for cell in row %}
{% set tag = "th" if loop.first else "td" %}
<{{ tag }}{% if loop.first %} scope="row"{% endif %} class="{{ columns[loop.index0].classes }}"
{%- if cell.value is not none %} data-value="{{ cell.value }}"{% endif %}>
{{- cell.text }}</{{ tag }}>
{%- endfor %}
</tr>
{% endfor %}
</tbody>
</table></div>
"""
