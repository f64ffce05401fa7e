"""Run a trained network over images: the embed stage's loop."""

import time
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from reid.data.images import Batch, ImageTable, keep_batch
from reid.data.transforms import normalise
from reid.methods.base import EmbeddingNetwork
from reid.nn.inference import for_inference
from reid.progress import Advance
from reid.recipe import Recipe
from reid.retrieval.precision import Stored, name_of, rounded

_AUTOCAST = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def best_device() -> torch.device:
    """The GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def embed_images(
    network: EmbeddingNetwork, recipe: Recipe, table: ImageTable, features: Stored, advance: Advance
) -> float:
    """Embed every image of `table`, in order, not normalised.

    On a CPU features of residual networks may differ in the last digits from those of
    `embed_parts`, which is exact where this is fast.

    Args:
        features: Written [N, D], in its own number format; may be mapped to a file.

    Returns:
        Images per second without decoding.
    """
    device = best_device()
    network = network.to(device).eval()
    if device.type == "cpu":
        network = for_inference(network)
    done, seconds = 0, 0.0
    for raw in batches(table, recipe.embed_batch):
        started = time.perf_counter()
        block = embed_batch(network, recipe, Batch(*(t.to(device) for t in raw)))
        features[done : done + len(block)] = rounded(block, name_of(features))
        seconds += time.perf_counter() - started
        done += len(block)
        advance(done, len(table))
    return done / max(seconds, 1e-9)


def embed_parts(
    network: EmbeddingNetwork, recipe: Recipe, parts: Iterable[Batch], count: int
) -> NDArray[np.float32]:
    """Embed images that come in parts of one forward pass each, by the network in its mode.

    Args:
        parts: As decoded; each is moved to where the network is.
        count: Number N of their images.

    Returns:
        The features of all images, in order, not normalised [N, D].
    """
    device = next(network.parameters()).device
    rows = np.empty((count, network.feature_size), np.float32)  # of some methods gigabytes, once
    done = 0
    for raw in parts:
        block = embed_batch(network, recipe, Batch(*(t.to(device) for t in raw)))
        rows[done : done + len(block)] = block
        done += len(block)
    return rows


def embed_batch(network: EmbeddingNetwork, recipe: Recipe, raw: Batch) -> NDArray[np.float32]:
    """Return the [B, D] features of one batch, with the recipe's flip and precision."""
    return _embed(lambda batch: {"": network.embed(batch)}, recipe, raw)[""]


def embed_branches(
    network: EmbeddingNetwork, recipe: Recipe, raw: Batch
) -> dict[str, NDArray[np.float32]]:
    """Return the [B, D] features of each branch for one batch, as `embed_batch` makes its own."""
    return _embed(network.branches, recipe, raw)


@torch.inference_mode()
def _embed(
    features: Callable[[Batch], dict[str, Tensor]], recipe: Recipe, raw: Batch
) -> dict[str, NDArray[np.float32]]:
    images = normalise(raw.images, recipe.image)
    views = [images, images.flip(3)] if recipe.embed_flip else [images]
    dtype = _AUTOCAST[recipe.precision]
    with torch.autocast(images.device.type, dtype, enabled=recipe.precision != "fp32"):
        found = [features(raw._replace(images=view)) for view in views]
    totals = {name: sum(one[name].float() for one in found) for name in found[0]}
    return {name: torch.as_tensor(total).cpu().numpy() for name, total in totals.items()}


def batches(table: ImageTable, size: int) -> DataLoader[Batch]:
    """Go through all images of `table` in order, `size` at a time, as decoded."""
    numbers = range(len(table))
    chosen: Sequence[range] = [numbers[i : i + size] for i in range(0, len(table), size)]
    workers = 0 if table.preloaded else 2
    return DataLoader(table, batch_sampler=chosen, num_workers=workers, collate_fn=keep_batch)  # type: ignore[arg-type]
