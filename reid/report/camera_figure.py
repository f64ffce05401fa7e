"""mAP of a run for each pair of cameras, as a heat map."""

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from reid.report.comparison import ComparedRun, ComparedRuns

_MOST_NUMBERS = 8  # cameras a side; with more, numbers do not fit their cells
_CELL, _SMALL_CELL, _EDGE = 34, 18, 34
_PALE, _DARK = (239, 243, 255), (8, 58, 128)


def camera_figure(row: ComparedRun, table: ComparedRuns) -> Markup:
    """Draw the pairs of cameras of a run; the scale is the same for all runs of the table."""
    cameras = row.cameras
    queries, gallery = cameras["query_cameras"], cameras["gallery_cameras"]
    numbered = max(len(queries), len(gallery)) <= _MOST_NUMBERS
    cell, least = _CELL if numbered else _SMALL_CELL, least_of_cameras(table)
    parts = [Markup('<text x="2" y="11">query ↓ gallery →</text>')]
    for column, camera in enumerate(gallery):
        x = _EDGE + (column + 0.5) * cell
        name = camera + table.first_camera
        parts.append(Markup('<text x="{:g}" y="28" class="across">{}</text>').format(x, name))
    for line, camera in enumerate(queries):
        y = _EDGE + line * cell
        name = camera + table.first_camera
        parts.append(
            Markup('<text x="{}" y="{:g}" class="up">{}</text>').format(
                _EDGE - 5, y + cell / 2 + 4, name
            )
        )
        for column, value in enumerate(cameras["mAP"][line]):
            corner = _EDGE + column * cell, y
            parts.append(_cell(value, least, corner, cell, numbered))
    width, height = (_EDGE + len(side) * cell + 2 for side in (gallery, queries))
    return Markup(
        '<svg role="img" aria-label="{}" viewBox="0 0 {w} {h}" width="{w}" height="{h}">{}</svg>'
    ).format(_name(row, cameras, table), Markup("").join(parts), w=max(width, 130), h=height)


def least_of_cameras(table: ComparedRuns) -> int:
    """Return the start of the scale in per cent: below all values, a multiple of ten."""
    values = [
        value
        for row in table.rows
        for line in row.cameras.get("mAP", ())
        for value in line
        if value is not None
    ]
    return min(90, int(100 * min(values)) // 10 * 10) if values else 0


def _cell(
    value: float | None, least: int, corner: tuple[int, int], size: int, numbered: bool
) -> Markup:
    x, y = corner
    depth = 0.0 if value is None else max(0.0, (100 * value - least) / (100 - least))
    shade = [round(pale + depth * (dark - pale)) for pale, dark in zip(_PALE, _DARK, strict=True)]
    fill = "#ccc" if value is None else "#" + "".join(f"{part:02x}" for part in shade)
    box = Markup('<path d="M{} {}h{s}v{s}h-{s}z" fill="{}"/>').format(x, y, fill, s=size - 1)
    if value is None or not numbered:
        return box
    return box + Markup('<text x="{:g}" y="{:g}" class="{}">{:.0f}</text>').format(
        x + size / 2 - 0.5,
        y + size / 2 + 4,
        "across light" if depth > 0.5 else "across",
        100 * value,
    )


def _name(row: ComparedRun, cameras: Mapping[str, Any], table: ComparedRuns) -> str:
    pairs = [
        (value, query + table.first_camera, gallery + table.first_camera)
        for query, line in zip(cameras["query_cameras"], cameras["mAP"], strict=True)
        for gallery, value in zip(cameras["gallery_cameras"], line, strict=True)
        if value is not None
    ]
    if not pairs:
        return f"mAP of {row.run} by pair of cameras: no query"
    ends = (
        f"{word} {100 * value:.1f} from camera {query} to {gallery}"
        for word, (value, query, gallery) in (("worst", min(pairs)), ("best", max(pairs)))
    )
    return f"mAP of {row.run} in per cent by pair of cameras: {', '.join(ends)}"
