"""One picture of how far apart two spectra lie, a row for each set of features of the same images.

On the left distances of pairs of images; on the right the features of some people in the plane.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from threadpoolctl import threadpool_limits

from reid.files import whole_file
from reid.retrieval.features import DoubleArray, FloatArray, IntArray
from reid.retrieval.modality_gap import ModalityGap, Seen
from reid.retrieval.precision import Stored, as_float32

PEOPLE = 12  # in the plane, at most
IMAGES = 480  # of them, at most
_DPI = 100
_WIDTH = 14.0  # inches
_ROW = 4.4  # height of a row in inches
_HEAD, _FOOT = 0.7, 0.5  # of the title with its line, and of the people's names
_FEWEST_BINS, _BINS = 12, 60
_ROOM = 1.4  # height of a histogram with its legend over that without
_PERPLEXITY = 30.0
_MARKERS = ("o", "^")  # visible, infrared
_SIZES = (26.0, 34.0)
_FAINT = "#666666"
_COLOURS = [to_rgba(colour) for colour in (*map("C{}".format, range(10)), "#000000", "#98df8a")]
_KINDS = (
    ("within", "same person, one spectrum", "#009e73", "-"),
    ("across", "same person, across the spectra", "#0072b2", "-"),
    ("others", "other people, across the spectra", "#d55e00", "--"),
)


class GapRow(NamedTuple):
    """A set of features.

    Attributes:
        name: What they are, such as `after training`.
        gap: Distances of pairs.
        plane: Place in the plane of each image shown there [M, 2].
    """

    name: str
    gap: ModalityGap
    plane: FloatArray


def in_plane(features: Stored, seed: int) -> FloatArray:
    """Lay features out in the plane, so that near ones stay near (t-SNE on features of length 1).

    Args:
        features: [M, D], M from 3.
        seed: The same seed gives the same places.

    Returns:
        [M, 2]; only which points are near each other has a meaning.
    """
    from sklearn.manifold import TSNE  # takes a second, and few evaluations need it

    rows = as_float32(features)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    rows = (rows / np.where(lengths == 0, 1.0, lengths)).astype(np.float32)
    perplexity = min(_PERPLEXITY, (len(rows) - 1) / 3)
    layout = TSNE(2, perplexity=perplexity, init="pca", random_state=seed)
    with threadpool_limits(limits=1):  # sums of several threads differ from run to run
        return np.asarray(layout.fit_transform(rows), np.float32)


def draw_modality_gap(
    rows: Sequence[GapRow],
    shown: Seen,
    path: Path,
    title: str,
    lines: Sequence[str] = (),
    between_cameras: bool = True,
) -> None:
    """Write the picture as a PNG, 1400 pixels wide, whole or not at all.

    Args:
        rows: One or more.
        shown: Who is seen in the images of the plane [M].
        path: PNG to write.
        title: Model and test set.
        lines: What must stand beside the numbers.
        between_cameras: Pairs within a spectrum are of two cameras.
    """
    figure = gap_figure(rows, shown, title, lines, between_cameras)
    with whole_file(path) as part:
        # no version of matplotlib in the file, so that equal pictures are equal files
        figure.savefig(part, format="png", metadata={"Software": None})


def gap_figure(
    rows: Sequence[GapRow],
    shown: Seen,
    title: str,
    lines: Sequence[str] = (),
    between_cameras: bool = True,
) -> Figure:
    """Lay out the rows, and the people's colours below them."""
    height = _HEAD + len(rows) * _ROW + _FOOT
    body = (0, _FOOT / height, 1, len(rows) * _ROW / height)
    layout = ConstrainedLayoutEngine(rect=body, h_pad=0.1)
    figure = Figure(figsize=(_WIDTH, height), dpi=_DPI, layout=layout)
    figure.text(0.01, 1 - 0.1 / height, title, fontsize=14, fontweight="bold", va="top")
    figure.text(0.01, 1 - 0.42 / height, "; ".join(lines), fontsize=10, color=_FAINT, va="top")
    grid = figure.add_gridspec(len(rows), 2, width_ratios=(1.5, 1))
    people = np.unique(shown.person_ids)
    for number, row in enumerate(rows):
        _draw_distances(figure.add_subplot(grid[number, 0]), row, between_cameras)
        _draw_plane(figure.add_subplot(grid[number, 1]), row.plane, shown, people)
    _name_people(figure, people)
    return figure


def _draw_distances(axes: Axes, row: GapRow, between_cameras: bool) -> None:
    gap = row.gap
    farthest = max(float(distances.max()) for distances in (gap.within, gap.across, gap.others))
    fewest = min(len(gap.within), len(gap.across), len(gap.others))
    bins = int(np.clip(2 * np.sqrt(fewest), _FEWEST_BINS, _BINS))
    edges = np.linspace(0, max(farthest, 1e-6), bins + 1)
    for kind, label, colour, line in _KINDS:
        distances: DoubleArray = getattr(gap, kind)
        share = 100 * np.histogram(distances, edges)[0] / len(distances)
        mean = float(distances.mean())
        if kind == "within":
            label += ", two cameras" if between_cameras else ", one camera or two"
        label += f": {len(distances):,} pairs, mean {mean:.3g}"
        axes.stairs(share, edges, color=colour, linestyle=line, linewidth=2, label=label)
        axes.stairs(share, edges, color=colour, fill=True, alpha=0.15)
        axes.axvline(mean, ymax=1 / _ROOM, color=colour, linestyle=":", linewidth=1.5)
    axes.set_xlim(0, edges[-1])
    axes.set_ylim(0, _ROOM * axes.get_ylim()[1])
    axes.set_xlabel("cosine distance", fontsize=10)
    axes.set_ylabel("pairs of the kind (%)", fontsize=10)
    axes.tick_params(labelsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=9, loc="upper left", framealpha=0.7)
    axes.set_title(f"{row.name}\n", fontsize=12, fontweight="bold", loc="left")
    axes.text(0, 1.02, _numbers(gap), transform=axes.transAxes, fontsize=10, color="#111111")


def _numbers(gap: ModalityGap) -> str:
    share = gap.share
    way = "" if share is None else f" ({100 * share:.0f} % of the way to other people)"
    return f"gap, across minus within: {gap.gap:+.3g}{way};  AUC of same or other: {gap.auc:.3f}"


def _draw_plane(axes: Axes, plane: FloatArray, shown: Seen, people: IntArray) -> None:
    places = np.searchsorted(people, shown.person_ids)
    colours = np.array(_COLOURS)[places % len(_COLOURS)]
    for infrared, marker, size in zip((False, True), _MARKERS, _SIZES, strict=True):
        mine = shown.infrared == infrared
        axes.scatter(
            plane[mine, 0],
            plane[mine, 1],
            c=colours[mine] if not infrared else "none",
            edgecolors=colours[mine] if infrared else "white",
            marker=marker,
            s=size,
            linewidths=1.3 if infrared else 0.3,
        )
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title("nearness of features (t-SNE, no units)", fontsize=10, loc="left")


def _name_people(figure: Figure, people: IntArray) -> None:
    words = ("visible", "infrared")
    handles = [
        Line2D(
            [],
            [],
            linestyle="",
            marker=marker,
            color="#333333",
            markerfacecolor="none" if word == "infrared" else "#333333",
            label=word,
        )
        for word, marker in zip(words, _MARKERS, strict=True)
    ]
    handles += [
        Line2D([], [], linestyle="", marker="s", color=colour, label=f"id {person}")
        for person, colour in zip(people.tolist(), _COLOURS, strict=False)
    ]
    figure.legend(
        handles=handles,
        loc="lower right",
        ncols=len(handles),
        fontsize=9,
        frameon=False,
        handletextpad=0.1,
        columnspacing=1.0,
    )
