"""One picture of an evaluation: curves, queries, pairs and cameras of one test set.

Panels whose data are not there are left out. Colours are told apart by colour-blind readers too.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reid.files import whole_file
from reid.retrieval.breakdown import CameraTable
from reid.retrieval.evaluate import PLAIN
from reid.retrieval.features import DoubleArray
from reid.retrieval.roc import Roc
from reid.retrieval.verification import PairStatistics

PIXELS = 1400
_DPI = 100
_ROW = 4.6  # height of a row of panels in inches
_HEAD = 1.0  # and of the title with its lines
_BLUE, _ORANGE, _GREEN = "#0072b2", "#d55e00", "#009e73"
_GREY = "#b8b8b8"
# of the settings in their order; plain comes first
_STYLES = ((_BLUE, "-"), (_ORANGE, "--"), (_GREEN, "-."), ("#cc79a7", ":"))
_SHOWN_CAMERAS = 16  # with more, the numbers do not fit their cells
_BINS = 20
_POINTS = 400
_LEAST_RATE = 1e-6


@dataclass(frozen=True, eq=False)
class Sheet:
    """What a sheet shows.

    Args:
        title: Test set and protocol.
        lines: What must stand beside the numbers: sizes, exclusion, draw, normalisation.
        curves: Cumulative matching from rank 1, by setting; `plain` first.
        precisions: Average precision of each query, NaN where it has no match, by setting.
        mean: mAP by setting.
        pairs: Of plain distances; None leaves out both panels.
        cameras: Of plain distances; None leaves out the panel.
        first_camera: What camera 0 is called.
    """

    title: str
    lines: tuple[str, ...]
    curves: Mapping[str, DoubleArray]
    precisions: Mapping[str, DoubleArray]
    mean: Mapping[str, float]
    pairs: PairStatistics | None = None
    cameras: CameraTable | None = None
    first_camera: int = 0


def draw_sheet(sheet: Sheet, path: Path) -> None:
    """Write the sheet as a PNG, 1400 pixels wide, whole or not at all."""
    figure = sheet_figure(sheet)
    with whole_file(path) as part:
        # no version of matplotlib in the file, so that equal sheets are equal files
        figure.savefig(part, format="png", metadata={"Software": None})


def sheet_figure(sheet: Sheet) -> Figure:
    """Lay out the panels, two in a row."""
    panels = _panels(sheet)
    rows = (len(panels) + 1) // 2
    figure = Figure(
        figsize=(PIXELS / _DPI, rows * _ROW + _HEAD),
        dpi=_DPI,
        layout="constrained",
        facecolor="white",
    )
    figure.suptitle("\n".join((sheet.title, *sheet.lines)), fontsize=12, x=0.01, ha="left")
    grid = figure.add_gridspec(rows, 2)
    for number, draw in enumerate(panels):
        row, column = divmod(number, 2)
        alone = column == 0 and number == len(panels) - 1
        axes = figure.add_subplot(grid[row, :] if alone else grid[row, column])
        axes.tick_params(labelsize=10)
        axes.spines[["top", "right"]].set_visible(False)
        draw(axes)
    return figure


def _panels(sheet: Sheet) -> list[Callable[[Axes], None]]:
    panels: list[Callable[[Axes], None]] = [
        partial(_draw_curves, sheet),
        partial(_draw_precisions, sheet),
    ]
    if sheet.pairs is not None:
        panels += [partial(_draw_distances, sheet.pairs), partial(_draw_roc, sheet.pairs.roc)]
    if sheet.cameras is not None:
        panels.append(partial(_draw_cameras, sheet.cameras, sheet.first_camera))
    return panels


def _named(setting: str) -> str:
    """Return how a setting is called in a legend; a re-ranked one says so."""
    return PLAIN if setting == PLAIN else setting.replace("rerank_", "re-ranked ")


def _title(axes: Axes, title: str, across: str, up: str) -> None:
    axes.set_title(title, fontsize=12, fontweight="bold", loc="left")
    axes.set_xlabel(across, fontsize=11)
    axes.set_ylabel(up, fontsize=11)


def _draw_curves(sheet: Sheet, axes: Axes) -> None:
    for (setting, curve), (colour, line) in zip(sheet.curves.items(), cycle(_STYLES), strict=False):
        ranks = np.arange(1, len(curve) + 1)
        label = f"{_named(setting)}: rank-1 {100 * curve[0]:.2f}"
        axes.plot(ranks, 100 * curve, color=colour, linestyle=line, linewidth=2, label=label)
    last = max(len(curve) for curve in sheet.curves.values())
    axes.set_xlim(1, max(2, last))
    axes.set_xticks([1, *(rank for rank in (5, *range(10, last + 1, 10)) if rank <= last)][:12])
    axes.grid(alpha=0.3)
    axes.legend(fontsize=11, loc="lower right")
    _title(axes, "Cumulative matching", "rank", "queries with a match so far (%)")


def _draw_precisions(sheet: Sheet, axes: Axes) -> None:
    edges = np.linspace(0, 1, _BINS + 1)
    for (setting, precision), (colour, line) in zip(
        sheet.precisions.items(), cycle(_STYLES), strict=False
    ):
        valid = precision[~np.isnan(precision)]
        share = 100 * np.histogram(valid, edges)[0] / max(1, len(valid))
        label = f"{_named(setting)}: mAP {100 * sheet.mean[setting]:.2f}"
        axes.stairs(
            share, edges, baseline=None, color=colour, linestyle=line, linewidth=2, label=label
        )
        if setting == PLAIN:
            axes.stairs(share, edges, color=colour, fill=True, alpha=0.25)
        axes.axvline(sheet.mean[setting], color=colour, linestyle=line, linewidth=1)
    axes.set_xlim(0, 1)
    axes.legend(fontsize=11, loc="upper left")
    _title(axes, "Average precision of the queries", "average precision", "queries (%)")


def _draw_distances(pairs: PairStatistics, axes: Axes) -> None:
    kinds = (
        ("same person", pairs.genuine_counts, _GREEN, "-"),
        ("others", pairs.impostor_counts, _ORANGE, "--"),
    )
    for label, counts, colour, line in kinds:
        share = 100 * counts / max(1, counts.sum())
        named = f"{label}: {counts.sum():,} pairs"
        axes.stairs(share, pairs.edges, color=colour, linewidth=2, linestyle=line, label=named)
        axes.stairs(share, pairs.edges, color=colour, fill=True, alpha=0.2)
    axes.set_xlim(pairs.edges[0], _last_used(pairs))
    axes.legend(fontsize=11)
    error = 100 * pairs.roc.equal_error_rate
    _title(axes, f"Distances, plain: EER {error:.2f} %", "distance", "pairs of the kind (%)")


def _last_used(pairs: PairStatistics) -> float:
    """Return where the last bin with a pair ends."""
    used = np.flatnonzero(pairs.genuine_counts + pairs.impostor_counts)
    return float(pairs.edges[used[-1] + 1]) if len(used) else float(pairs.edges[-1])


def _draw_roc(roc: Roc, axes: Axes) -> None:
    false_rate, true_rate = roc.points(_POINTS)
    axes.step(false_rate, 100 * true_rate, where="post", color=_BLUE, linewidth=2, label="curve")
    error = roc.equal_error_rate
    label = f"equal error: {100 * error:.2f} %"
    axes.plot(error, 100 * (1 - error), "o", color=_ORANGE, markersize=8, label=label)
    axes.set_xscale("log")
    axes.set_xlim(min(0.1, max(false_rate[0], _LEAST_RATE)), 1)
    axes.set_ylim(0, 102)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=11, loc="lower right")
    title = f"Same person or not, plain: AUC {100 * roc.auc:.2f} %"
    _title(axes, title, "false positive rate (logarithmic)", "true positive rate (%)")


def _draw_cameras(cameras: CameraTable, first: int, axes: Axes) -> None:
    values = 100 * np.ma.masked_invalid(cameras.mAP)
    least = 10 * np.floor(values.min() / 10) if values.count() else 0
    colours = colormaps["viridis"].with_extremes(bad=_GREY)
    image = axes.imshow(values, cmap=colours, vmin=least, vmax=100, aspect="auto")
    columns, rows = (
        [str(camera + first) for camera in side]
        for side in (cameras.gallery_cameras, cameras.query_cameras)
    )
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), rows)
    if max(values.shape) <= _SHOWN_CAMERAS:
        for row, column in zip(*np.nonzero(~np.isnan(cameras.mAP)), strict=True):
            value = 100 * cameras.mAP[row, column]
            ink = "white" if value < (least + 100) / 2 else "black"
            axes.text(column, row, f"{value:.1f}", ha="center", va="center", color=ink, fontsize=10)
    bar = axes.figure.colorbar(image, ax=axes, pad=0.01)
    bar.set_label("mAP (%)", fontsize=11)
    _title(axes, "mAP by camera, plain (grey: no query)", "gallery camera", "query camera")
