"""Train on a generated world and score the result: what the studies of several seeds share."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reid.data.images import TEST_RESAMPLING, TRAIN_RESAMPLING, ImageTable, image_facts
from reid.data.indexing import build_manifest
from reid.data.manifest import Manifest
from reid.data.readers import read_layout
from reid.data.storage import Storage, open_storage
from reid.data.synthetic import WorldSpec, build_world
from reid.methods.base import DataFacts, EmbeddingNetwork
from reid.methods.embedding import embed_images
from reid.methods.registry import build_network
from reid.progress import silent
from reid.recipe import Recipe
from reid.retrieval.foreign.evaluation import evaluate_features
from reid.training.loop import fit

World = tuple[Manifest, Storage]


class Quiet:
    """Takes the numbers of an epoch and drops them."""

    def log_epoch(self, epoch: int, metrics: dict[str, float]) -> None:
        """Drop the metrics of an epoch."""


def open_world(folder: Path, spec: WorldSpec) -> World:
    """Make and index a world, or open the one that is there."""
    root = folder / f"world_{spec.size}_{spec.seed}"
    index = root.with_suffix(".parquet")
    if not index.exists():
        build_world(spec, root, 1)
        storage = open_storage(root)
        reading = read_layout("synthetic", storage)
        build_manifest(reading, storage, root.name, index, root.with_suffix(".sqlite"))
    return Manifest.load(index), open_storage(root)


def train_and_score(
    recipe: Recipe,
    world: World,
    seed: int,
    load: Callable[[EmbeddingNetwork], object] | None = None,
) -> dict[str, float]:
    """Train a fresh network on one thread and score it by the plain protocol.

    Args:
        load: Puts pretrained weights into the network.

    Returns:
        The metrics, `loss` of the last epoch and the number of `parameters`.
    """
    torch.set_num_threads(1)
    manifest, storage = world

    def table(rows: Any, resampling: Any) -> ImageTable:
        facts = image_facts(manifest, rows.index.to_numpy(), manifest.train_cameras)
        size = (recipe.image.height, recipe.image.width)
        return ImageTable(storage, rows["path"].tolist(), facts, *size, resampling)

    torch.manual_seed(seed)
    facts = DataFacts(manifest.num_classes, manifest.num_cameras, manifest.num_views)
    network = build_network(recipe, facts)
    if load is not None:
        load(network)
    labels = [int(label) for label in manifest.train["label"]]
    with tempfile.TemporaryDirectory() as scratch:
        train = table(manifest.train, TRAIN_RESAMPLING)
        history = fit(network, recipe, train, labels, seed, Path(scratch), Quiet())
    query, gallery = (manifest.rows(split) for split in ("query", "gallery"))
    features = [
        embed_images(network, recipe, table(rows, TEST_RESAMPLING), silent)[0]
        for rows in (query, gallery)
    ]
    ids = (rows[key].to_numpy(np.int64) for key in ("pid", "camid") for rows in (query, gallery))
    arrays: list[Any] = [*features, *ids]
    figures = dict(evaluate_features(*arrays).scores["plain"].figures())
    size = sum(parameter.numel() for parameter in network.parameters())
    return {**figures, "loss": history[-1]["loss"], "parameters": size}
