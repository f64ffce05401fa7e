"""What the score of a pair is made of: which cells match, and what each of them adds.

Every cell comes into a score with its largest similarity to the cells of the other image. What it
adds is told by integrated gradients (Sundararajan et al., arXiv 1703.01365) on the straight way
from the maxima of a reference. Through one layer of rectified units the integral has a closed
form, and the shares of all cells add up to the score less that of the reference.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from reid.errors import ParamsError
from reid.methods.explanation import Matches
from reid.methods.model_directory import LoadedModel
from reid.recipe import ImageRecipe
from reid.retrieval.features import DoubleArray, FloatArray, IntArray
from reid.retrieval.maximum_matching import MaximumMatching
from reid.retrieval.pair_scorer import MatchingLayer


@runtime_checkable
class CellNetwork(Protocol):
    """A network that keeps the cells of maps, in row-major order on a grid of h × w.

    The maps are those of a residual network: all its strides are centred on their first pixel.
    """

    grid: tuple[int, int]


@dataclass(frozen=True)
class PairModel:
    """A trained network whose scores can be taken apart.

    Args:
        matching: Its scorer.
        grid: Cells of a map, (rows, columns).
    """

    loaded: LoadedModel
    matching: MaximumMatching
    grid: tuple[int, int]

    @property
    def image(self) -> ImageRecipe:
        """How the network wants its images."""
        return self.loaded.recipe.image

    @property
    def centre(self) -> float:
        """Where in its share of the image a cell has the middle of what it sees.

        It is the middle of the first pixel, and not that of the share.
        """
        return 0.5 * self.grid[0] / self.image.height


class Maxima(NamedTuple):
    """The largest similarity of each cell to the cells of the other image.

    Attributes:
        values: [layers, 2, L], of the query's cells, then of the gallery image's.
        partners: [layers, 2, L], the cell of the other image that it is found at.
    """

    values: DoubleArray
    partners: IntArray


class PairView(NamedTuple):
    """What the score of a pair is made of.

    Attributes:
        score: Of the pair.
        reference: Score of the reference.
        query_heat, gallery_heat: [h, w], what each cell adds to the score, or takes from it, over
            all layers. Both together sum to `score - reference`.
        matches: Pairs of cells that are each other's best in some layer and together add to the
            score, those that add most first.
    """

    score: float
    reference: float
    query_heat: FloatArray
    gallery_heat: FloatArray
    matches: Matches


def pair_model(model: LoadedModel) -> PairModel:
    """Return a model whose scores can be taken apart.

    Raises:
        ParamsError: The model scores pairs in another way.
    """
    network, matching = model.network, model.network.scorer()
    if not isinstance(matching, MaximumMatching) or not isinstance(network, CellNetwork):
        raise ParamsError(
            f"{model.card.run}: its scores are no sums over the best matches of cells",
            "a run of transmatcher with model.matching maximum and model.pooling max",
            "Name another run.",
        )
    return PairModel(model, matching, network.grid)


def find_maxima(matching: MaximumMatching, query: FloatArray, gallery: FloatArray) -> Maxima:
    """Compare the cells of two rows [F]."""
    parts = zip(query.reshape(matching.shape), gallery.reshape(matching.shape), strict=True)
    weighed = np.stack(
        [
            layer.prior * (others @ cells.T)
            for layer, (cells, others) in zip(matching.layers, parts, strict=True)
        ]
    ).astype(np.float64)
    values = np.stack([weighed.max(axis=1), weighed.max(axis=2)], axis=1)
    partners = np.stack([weighed.argmax(axis=1), weighed.argmax(axis=2)], axis=1)
    return Maxima(values, partners)


def mean_maxima(
    matching: MaximumMatching, query: FloatArray, gallery: Iterable[FloatArray]
) -> DoubleArray:
    """Return the mean maxima [layers, 2, L] of a row [F] with some others, at least one."""
    found = [find_maxima(matching, query, other).values for other in gallery]
    mean: DoubleArray = np.mean(found, axis=0)
    return mean


def explain_pair(
    model: PairModel, query: FloatArray, gallery: FloatArray, reference: DoubleArray
) -> PairView:
    """Take the score of two rows [F] apart.

    Args:
        reference: Maxima [layers, 2, L] that a score is compared with; the mean maxima of the
            query with images of other people say what is special about this pair.
    """
    maxima = find_maxima(model.matching, query, gallery)
    layers = list(zip(model.matching.layers, maxima.values, reference, strict=True))
    constant = model.matching.constant
    shares = np.stack([_shares(layer, values, start) for layer, values, start in layers])
    query_heat, gallery_heat = (
        side.reshape(model.grid).astype(np.float32) for side in shares.sum(axis=0)
    )
    return PairView(
        score=constant + sum(_head(layer, values) for layer, values, _ in layers),
        reference=constant + sum(_head(layer, start) for layer, _, start in layers),
        query_heat=query_heat,
        gallery_heat=gallery_heat,
        matches=_matches(maxima.partners, shares, model.grid[1]),
    )


def _head(layer: MatchingLayer, values: DoubleArray) -> float:
    """Return what maxima [2, L] add to the score."""
    hidden = values @ layer.head_weight.T + layer.head_bias
    return float((np.maximum(hidden, 0) @ layer.output_weight).sum())


def _shares(layer: MatchingLayer, values: DoubleArray, start: DoubleArray) -> DoubleArray:
    """Return what each of the maxima [2, L] adds to the score of the layer at `start` [2, L]."""
    before, after = (rows @ layer.head_weight.T + layer.head_bias for rows in (start, values))
    rise, step = np.maximum(after, 0) - np.maximum(before, 0), after - before
    # of the way, on how much of it a unit is above zero
    active = np.divide(rise, step, out=(after > 0).astype(np.float64), where=step != 0)
    shares: DoubleArray = (values - start) * ((active * layer.output_weight) @ layer.head_weight)
    return shares


def _matches(partners: IntArray, shares: DoubleArray, columns: int) -> Matches:
    """Add up what mutual pairs of cells add in all layers; `columns` of the grid."""
    cells = partners.shape[2]
    added = np.zeros((cells, cells))
    for (there, back), (of_query, of_gallery) in zip(partners, shares, strict=True):
        mutual = np.flatnonzero(back[there] == np.arange(cells))
        added[mutual, there[mutual]] += of_query[mutual] + of_gallery[there[mutual]]
    first, second = np.nonzero(added > 0)
    order = np.argsort(-added[first, second], kind="stable")
    first, second = first[order], second[order]
    return Matches(
        np.stack(np.divmod(first, columns), axis=1),
        np.stack(np.divmod(second, columns), axis=1),
        added[first, second].astype(np.float32),
    )
