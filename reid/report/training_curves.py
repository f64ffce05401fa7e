"""One picture of a training: its losses on the left, its accuracies on the right.

Each family of losses has a small panel and a scale of its own, for a sum of weighted losses and its
smallest part differ by orders of magnitude, and nobody tells twenty lines of one panel apart.
"""

from collections.abc import Mapping, Sequence
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reid.files import whole_file
from reid.retrieval.features import DoubleArray

ACCURACY = "accuracy"
TWO_CLASSES = "accuracy_modality"  # names of accuracies that a coin reaches in half of all cases
_NO_LOSS = ("epoch", "learning_rate")
_CHANCE = 0.5
_DPI = 100
_WIDTH = 14.0  # inches
_ROW = 2.6  # height of a row of small panels in inches
_LEAST_HEIGHT = 4.2
_HEAD = 0.6  # and of the title
_MOST_COLUMNS = 4
_FEW_EPOCHS = 12  # up to here each epoch is a dot
_LARGE_RATIO = 30.0  # of the largest to the least value of a panel with a logarithmic axis
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
_LINES = ("-", "--", "-.", ":")
_FAINT = "#666666"

Curves = Mapping[str, DoubleArray]


def draw_training_curves(rows: Sequence[Mapping[str, float]], path: Path, title: str) -> None:
    """Write the picture of a training as a PNG, 1400 pixels wide, whole or not at all.

    Args:
        rows: One for each epoch, with `epoch`, `learning_rate`, `loss`, other losses by name, and
            shares from 0 to 1 whose names begin with `accuracy`. What is not in every row has gaps.
        path: PNG to write.
        title: Run and method.
    """
    figure = curves_figure(rows, title)
    with whole_file(path) as part:
        # no version of matplotlib in the file, so that equal trainings give equal files
        figure.savefig(part, format="png", metadata={"Software": None})


def curves_figure(rows: Sequence[Mapping[str, float]], title: str) -> Figure:
    """Lay out small panels of losses, and one large panel of accuracies if there are any."""
    curves = _curves(rows)
    epochs = curves["epoch"]
    accuracies = {name: curve for name, curve in curves.items() if name.startswith(ACCURACY)}
    families = _families([n for n in curves if n not in _NO_LOSS and n not in accuracies])
    panels = [{_rest(name, head): curves[name] for name in names} for head, names in families]
    titles = [head.replace("_", " ") for head, _ in families]
    if "learning_rate" in curves:
        panels.append({"": curves["learning_rate"]})
        titles.append("learning rate")
    columns = min(_MOST_COLUMNS - bool(accuracies), max(1, int(np.ceil(np.sqrt(len(panels))))))
    lines = -(-len(panels) // columns)
    height = max(_LEAST_HEIGHT, lines * _ROW) + _HEAD
    figure = Figure(figsize=(_WIDTH, height), dpi=_DPI, layout="constrained")
    figure.suptitle(title, fontsize=14, fontweight="bold", x=0.01, ha="left")
    grid = figure.add_gridspec(lines, columns + 2 * bool(accuracies))
    for number, (name, panel) in enumerate(zip(titles, panels, strict=True)):
        axes = figure.add_subplot(grid[divmod(number, columns)])
        _draw_losses(axes, epochs, panel, name)
        if number + columns >= len(panels):
            axes.set_xlabel("epoch", fontsize=10)
    if accuracies:
        _draw_accuracies(figure.add_subplot(grid[:, columns:]), epochs, accuracies)
    return figure


def _curves(rows: Sequence[Mapping[str, float]]) -> Curves:
    """Turn rows into columns [E], in the order in which names first occur; the sum of losses first.

    Numbers that are not finite become gaps.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    names.sort(key=lambda name: name != "loss")
    found = {name: np.array([row.get(name, np.nan) for row in rows], float) for name in names}
    return {name: np.where(np.isfinite(curve), curve, np.nan) for name, curve in found.items()}


def _families(names: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Gather names that begin with the same word, as `triplet_shared` and `triplet_specific` do.

    A name that is alone with its first word keeps all its words.
    """
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(name.partition("_")[0], []).append(name)
    return [(head if len(same) > 1 else same[0], same) for head, same in found.items()]


def _rest(name: str, head: str) -> str:
    return name.removeprefix(head).strip("_").replace("_", " ")


def _draw_losses(axes: Axes, epochs: DoubleArray, panel: Curves, title: str) -> None:
    for (name, curve), style in zip(panel.items(), _styles(len(panel)), strict=True):
        _draw_line(axes, epochs, curve, style, name or title)
    values = np.concatenate(list(panel.values()))
    known = values[~np.isnan(values)]
    if len(known) and known.min() > 0 and known.max() > _LARGE_RATIO * known.min():
        axes.set_yscale("log")
        title += " (log scale)"
    elif len(known) and known.min() >= 0:
        axes.set_ylim(0, 1.08 * known.max() or 1)
    _finish(axes, epochs, title, 10)
    if len(panel) > 1:
        axes.legend(fontsize=8, ncols=1 + (len(panel) > 4), handlelength=2.4, framealpha=0.7)


def _draw_accuracies(axes: Axes, epochs: DoubleArray, accuracies: Curves) -> None:
    for (name, curve), style in zip(accuracies.items(), _styles(len(accuracies)), strict=True):
        known = curve[~np.isnan(curve)]
        last = f": {known[-1]:.2f} at the end" if len(known) else ""
        words = _rest(name, ACCURACY) or ACCURACY
        _draw_line(axes, epochs, curve, style, f"{words}{last}", width=2.2)
    if any(name.startswith(TWO_CLASSES) for name in accuracies):
        label = f"chance of two classes: {_CHANCE}"
        axes.axhline(_CHANCE, color=_FAINT, linestyle=(0, (1, 2)), linewidth=1.5, label=label)
    axes.set_ylim(-0.02, 1.02)
    axes.set_yticks(np.linspace(0, 1, 11))
    axes.set_ylabel("share of images", fontsize=10)
    axes.set_xlabel("epoch", fontsize=10)
    _finish(axes, epochs, "accuracy in training", 12)
    axes.legend(fontsize=10, loc="best", handlelength=3)


def _draw_line(
    axes: Axes,
    epochs: DoubleArray,
    curve: DoubleArray,
    style: tuple[str, str],
    label: str,
    width: float = 1.6,
) -> None:
    marker = "o" if len(epochs) <= _FEW_EPOCHS else None
    colour, line = style
    axes.plot(
        epochs,
        curve,
        color=colour,
        linestyle=line,
        linewidth=width,
        marker=marker,
        markersize=4,
        label=label,
    )


def _finish(axes: Axes, epochs: DoubleArray, title: str, size: int) -> None:
    axes.set_title(title, fontsize=size, fontweight="bold", loc="left")
    # no axis has zero length, and none begins before the first epoch
    axes.set_xlim(epochs[0] - 0.2, max(epochs[-1], epochs[0] + 1) + 0.2)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axes.tick_params(labelsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3)


def _styles(count: int) -> list[tuple[str, str]]:
    """Return colour and dashes of each line of a panel; both tell neighbours apart."""
    return list(islice(zip(cycle(_COLOURS), cycle(_LINES), strict=False), count))
