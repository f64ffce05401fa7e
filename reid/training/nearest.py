"""Which training images the network of the moment takes for the nearest to one another."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from reid.data.images import ImageTable
from reid.data.samplers.graph import IntArray, nearest_classes
from reid.methods.base import EmbeddingNetwork
from reid.methods.embedding import embed_parts
from reid.recipe import Recipe
from reid.retrieval.distance import normalise

_BLOCK = 64  # images that are compared with all others at once


def nearest_images(
    network: EmbeddingNetwork, recipe: Recipe, table: ImageTable, chosen: Sequence[int], count: int
) -> IntArray:
    """Compare images as in a test: without random changes, by the network as it infers.

    A network with a pair scorer compares by the score of the pair, its row as the query; any other
    by the angle between the features. No random number is drawn, and every part of the network is
    left in the mode in which it was.

    Args:
        chosen: The C images of `table`; their rows of features are held in memory.
        count: Less than C.

    Returns:
        Of each image the `count` nearest others, nearest first, as places in `chosen` [C, count].
    """
    with _inferring(network):
        size = recipe.embed_batch
        blocks = (list(chosen[i : i + size]) for i in range(0, len(chosen), size))
        parts = (table.__getitems__(block) for block in blocks)
        rows = embed_parts(network, recipe, parts, len(chosen))
        scorer = network.scorer()
        if scorer is None:
            rows = normalise(rows)
        found = np.empty((len(rows), count), np.int64)
        for start in range(0, len(rows), _BLOCK):
            block = rows[start : start + _BLOCK]
            alike = block @ rows.T if scorer is None else scorer.scores(block, rows)
            anchors = np.arange(start, start + len(block))
            found[start : start + len(block)] = nearest_classes(-alike, anchors, count)
        return found


@contextmanager
def _inferring(network: EmbeddingNetwork) -> Iterator[None]:
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
