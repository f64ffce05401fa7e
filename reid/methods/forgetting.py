"""How little fine-tuning changed the features of each image."""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from reid.data.images import Batch, ImageTable
from reid.errors import CheckpointError
from reid.methods.embedding import batches, best_device, embed_batch
from reid.methods.model_directory import LoadedModel
from reid.progress import Advance


def feature_cosines(
    before: LoadedModel,
    after: LoadedModel,
    tables: tuple[ImageTable, ImageTable],
    advance: Advance,
) -> NDArray[np.float64]:
    """Return the cosine between the two features of each image [N]; no feature is kept.

    Args:
        before: A network before it was fine-tuned.
        after: The same after it.
        tables: The same images in the size of each; one table twice is decoded once.

    Raises:
        CheckpointError: The features have different lengths, or are not finite.
    """
    sizes = [model.network.feature_size for model in (before, after)]
    if sizes[0] != sizes[1]:
        raise CheckpointError(
            f"features of {sizes[0]} values before and of {sizes[1]} after",
            "one network at two times",
            "Name a model, and the model or weights that it was fine-tuned from.",
        )
    device = best_device()
    for model in (before, after):
        model.network.to(device).eval()
    cosines = np.empty(len(tables[0]))
    done = 0
    for pair in _pairs(tables, min(model.recipe.embed_batch for model in (before, after))):
        first, second = (
            embed_batch(model.network, model.recipe, Batch(*(t.to(device) for t in raw)))
            for model, raw in zip((before, after), pair, strict=True)
        )
        cosines[done : done + len(first)] = _cosines(first, second)
        done += len(first)
        advance(done, len(cosines))
    if wrong := int((~np.isfinite(cosines)).sum()):
        raise CheckpointError(
            f"features of {wrong} of {len(cosines)} images that are zero or not finite",
            "features with a direction",
            "Use the recipe with precision fp32, or another model.",
        )
    return cosines


def _pairs(tables: tuple[ImageTable, ImageTable], size: int) -> Iterator[tuple[Batch, Batch]]:
    first: Iterable[Batch] = batches(tables[0], size)
    if tables[0] is tables[1]:
        return ((raw, raw) for raw in first)
    return zip(first, batches(tables[1], size), strict=True)


def _cosines(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float64]:
    a, b = first.astype(np.float64), second.astype(np.float64)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosines: NDArray[np.float64] = np.clip((a * b).sum(axis=1) / lengths, -1.0, 1.0)
    return cosines
