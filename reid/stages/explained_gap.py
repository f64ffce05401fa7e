"""The gap between the spectra in the features of a model, before and after its training."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reid.data.images import TEST_RESAMPLING, Batch, ImageTable, image_facts
from reid.data.manifest import Manifest
from reid.methods.base import EmbeddingNetwork
from reid.methods.embedding import batches, best_device, embed_batch, embed_branches
from reid.methods.model_directory import LoadedModel
from reid.nn.hub import timm_name
from reid.progress import progress
from reid.recipe import Recipe
from reid.retrieval.features import FloatArray
from reid.retrieval.modality_gap import Seen, choose_images, draw_pairs
from reid.stages.cards import IMPORTED
from reid.stages.catalogue import dataset_entry
from reid.stages.explained_images import rows_to_explain
from reid.stages.feature_store import make_embeddings
from reid.stages.gap_pictures import draw_gaps
from reid.stages.paths import manifest_file, open_images
from reid.stages.pretrained import begin_network

GAP = "modality_gap.png"
PEOPLE = 60  # looked at, at most; those of the plane are among them
IMAGES = 600  # of them, at most
_EMBEDDING = ""  # beside the names of branches
_NEAR = (1e-3, 1e-4)  # relative and absolute difference of what counts as the same feature


def explain_gap(
    model: LoadedModel, dataset: str, folder: Path, title: str, seed: int
) -> tuple[Path, dict[str, Any]] | None:
    """Draw how far apart the spectra lie before training, after it, and in each branch.

    Before training means the network as `reid train` begins it. A branch whose features are the
    embedding itself stands for it.

    Args:
        seed: Of the choice of images.

    Returns:
        The picture, and what the record says of it; None where nobody in the dataset is seen in
        both spectra beside somebody else.

    Raises:
        DataError: The dataset is not built, or an image cannot be read.
        CheckpointError: The weights that training began with cannot be loaded.
    """
    manifest = Manifest.load(manifest_file(dataset))
    frame = rows_to_explain(dataset, manifest)
    seen = Seen.of(make_embeddings(frame, np.empty((len(frame), 0), np.float32), {}))
    chosen = choose_images(seen, PEOPLE, IMAGES, seed)
    if draw_pairs(seen.take(chosen), seed) is None:
        return None
    table = _table(model, dataset, manifest, frame.index.to_numpy(np.int64)[chosen])
    features = {**_before(model, table, title), **_after(model, table, title)}
    facts = draw_gaps(seen.take(chosen), features, folder / GAP, title, seed)
    return None if facts is None else (folder / GAP, facts)


def _table(
    model: LoadedModel, dataset: str, manifest: Manifest, rows: NDArray[np.int64]
) -> ImageTable:
    # Camera ids mean something to a network only on the dataset that it was trained on.
    home = dataset == model.card.train_dataset
    facts = image_facts(manifest, rows, model.card.camera_ids if home else ())
    paths, image = manifest.frame["path"].iloc[rows].tolist(), model.recipe.image
    storage = open_images(dataset, dataset_entry(dataset))
    return ImageTable(storage, paths, facts, image.height, image.width, TEST_RESAMPLING)


def _before(model: LoadedModel, table: ImageTable, title: str) -> dict[str, FloatArray]:
    """Return the embedding before training by its name, where it is known how training began."""
    card = model.card
    if card.study == IMPORTED:
        return {}
    weights: Path | str | None = card.parents[0] if card.parents else None
    if weights is not None and timm_name(weights) is None:
        weights = Path(weights)
        if not weights.is_file():
            print(f"{title}: {weights} is gone, so nothing is drawn of before training")
            return {}
    network = begin_network(model.recipe, card.facts, card.seed, weights)
    found = _embedded(network, model.recipe, table, f"{title}: before training", branches=False)
    return {"before training": found[_EMBEDDING]}


def _after(model: LoadedModel, table: ImageTable, title: str) -> dict[str, FloatArray]:
    """Return the embedding and each branch after training, by their names."""
    label = f"{title}: after training"
    found = _embedded(model.network, model.recipe, table, label, branches=True)
    embedding = found.pop(_EMBEDDING)
    named: dict[str, FloatArray] = {}
    for branch, features in found.items():
        same = features.shape == embedding.shape and np.allclose(features, embedding, *_NEAR)
        named[f"after training: {branch} branch{', used for retrieval' if same else ''}"] = features
    if any(name.endswith("retrieval") for name in named):
        return named
    return {f"after training{', used for retrieval' if named else ''}": embedding, **named}


def _embedded(
    network: EmbeddingNetwork, recipe: Recipe, table: ImageTable, label: str, *, branches: bool
) -> dict[str, FloatArray]:
    """Return the embedding of all images, and that of each branch if wanted: [N, D] each."""
    device = best_device()
    network = network.to(device).eval()
    blocks: dict[str, list[FloatArray]] = {}
    done = 0
    with progress(label) as advance:
        for raw in batches(table, recipe.embed_batch):
            batch = Batch(*(fact.to(device) for fact in raw))
            found = {_EMBEDDING: embed_batch(network, recipe, batch)}
            if branches:
                found |= embed_branches(network, recipe, batch)
            for name, block in found.items():
                blocks.setdefault(name, []).append(block)
            done += len(raw.images)
            advance(done, len(table))
    return {name: np.concatenate(parts) for name, parts in blocks.items()}
