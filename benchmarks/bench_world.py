"""Train on a generated world and score the result: what the studies of several seeds share."""

import tempfile
from collections.abc import Callable, Sequence
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
from reid.retrieval.embeddings import Embeddings
from reid.retrieval.evaluate import PLAIN, EvaluationSettings, Scored, evaluate, known_rows
from reid.retrieval.pair_source import ScoreSource
from reid.retrieval.protocols import PROTOCOLS
from reid.stages.feature_store import make_embeddings, rows_to_embed
from reid.training.callbacks import MetricSink
from reid.training.loop import fit

World = tuple[Manifest, Storage]


class Quiet:
    """Takes the numbers of an epoch and drops them."""

    def log_epoch(self, epoch: int, metrics: dict[str, float]) -> None:
        """Drop the metrics of an epoch."""


QUIET = Quiet()


def open_world(folder: Path, spec: WorldSpec) -> World:
    """Make and index a world, or open the one that is there."""
    kind = "" if spec.kind == "colour" else f"_{spec.kind}"
    root = folder / f"world{kind}_{spec.size}_{spec.domain}_{spec.seed}"
    index = root.with_suffix(".parquet")
    if not index.exists():
        build_world(spec, root, 1)
        storage = open_storage(root)
        reading = read_layout("synthetic", storage)
        build_manifest(reading, storage, root.name, index, root.with_suffix(".sqlite"))
    return Manifest.load(index), open_storage(root)


def train(
    recipe: Recipe,
    world: World,
    seed: int,
    load: Callable[[EmbeddingNetwork], object] | None = None,
    sink: MetricSink = QUIET,
) -> tuple[EmbeddingNetwork, list[dict[str, float]]]:
    """Train a fresh network on one thread; return it and its history.

    Args:
        load: Puts pretrained weights into the network.
        sink: Where the numbers of an epoch go.
    """
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    manifest, _ = world
    facts = DataFacts(manifest.num_classes, manifest.num_cameras, manifest.num_views)
    network = build_network(recipe, facts)
    if load is not None:
        load(network)
    labels = [int(label) for label in manifest.train["label"]]
    with tempfile.TemporaryDirectory() as scratch:
        table = _table(recipe, world, manifest.train, manifest.train_cameras, TRAIN_RESAMPLING)
        history = fit(network, recipe, table, labels, seed, Path(scratch), sink).history
    return network, history


def embed(
    network: EmbeddingNetwork, recipe: Recipe, world: World, cameras: Sequence[int]
) -> Embeddings:
    """Embed the queries and the gallery of a world.

    Args:
        cameras: Training cameras, where the network was trained on this world.
    """
    rows = rows_to_embed("world", world[0])
    features = np.empty((len(rows), network.feature_size), np.float32)
    embed_images(
        network, recipe, _table(recipe, world, rows, cameras, TEST_RESAMPLING), features, silent
    )
    return make_embeddings(rows, features, {"dataset": "world"})


def plain_figures(
    embeddings: Embeddings, scored: Scored | None = None, protocol: str = "market"
) -> dict[str, float]:
    """Return the plain figures by a protocol, if not another one that of Market-1501."""
    settings = EvaluationSettings(rerank=None, pairs=False)
    found = evaluate(embeddings, PROTOCOLS[protocol], settings, scored=scored)
    return found.scores[PLAIN].figures()


def all_pairs(network: EmbeddingNetwork, embeddings: Embeddings) -> Scored | None:
    """Score queries against the gallery, where a network scores pairs."""
    scorer = network.scorer()
    if scorer is None:
        return None
    rows = known_rows(embeddings)
    is_query = embeddings.is_query[rows]
    query, gallery = (embeddings.features[rows[side]] for side in (is_query, ~is_query))
    scores = scorer.scores(query, gallery)
    return Scored(ScoreSource(scores, np.flatnonzero(is_query), np.flatnonzero(~is_query)), {})


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
    network, history = train(recipe, world, seed, load)
    embeddings = embed(network, recipe, world, world[0].train_cameras)
    figures = plain_figures(embeddings, all_pairs(network, embeddings))
    size = sum(parameter.numel() for parameter in network.parameters())
    return {**figures, "loss": history[-1]["loss"], "parameters": size}


def _table(
    recipe: Recipe, world: World, rows: Any, cameras: Sequence[int], resampling: Any
) -> ImageTable:
    manifest, storage = world
    facts = image_facts(manifest, rows.index.to_numpy(), cameras)
    size = (recipe.image.height, recipe.image.width)
    return ImageTable(storage, rows["path"].tolist(), facts, *size, resampling)
