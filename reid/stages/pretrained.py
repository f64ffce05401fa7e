"""Where a training starts: fresh weights, a file, or the result of a pretraining."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from warnings import warn

import torch

from reid.errors import ParamsError, ReidWarning
from reid.methods.base import DataFacts, EmbeddingNetwork
from reid.methods.registry import build_network, get_method
from reid.nn.backbone_file import BackboneFacts, read_facts
from reid.pretrain.parent import BACKBONE_FILE
from reid.pretrain.pretrained_directory import PretrainCard, load_card
from reid.recipe import Recipe
from reid.study import FRESH
from reid.tracking.digest import sha256


class Parent(NamedTuple):
    """What a run starts from.

    Attributes:
        weights: A file or `timm:<model name>`; None for fresh weights.
        digest: SHA-256 of the file; empty where there is none.
        card: Of our own pretraining.
        facts: Grid and normalisation that the weights were learned with, where the file says them.
    """

    weights: Path | str | None = None
    digest: str = ""
    card: PretrainCard | None = None
    facts: BackboneFacts | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The parents for a model card."""
        return () if self.weights is None else (str(self.weights),)

    @property
    def tags(self) -> Mapping[str, str]:
        """Lineage for MLflow, which shows a run below its `mlflow.parentRunId`."""
        if self.weights is None:
            return {}
        tags = {"parent.weights": str(self.weights), "parent.weights_sha256": self.digest}
        if self.card is None or self.card.mlflow_run_id is None:
            return tags
        run_id = self.card.mlflow_run_id
        return {**tags, "parent.run_id": run_id, "mlflow.parentRunId": run_id}


def find_parent(starts_from: Path, recipe: Recipe) -> Parent:
    """Find the weights that a run starts from.

    Args:
        starts_from: `reid/nn` for fresh weights or those that the recipe names, a folder of a
            pretraining, or a file.

    Raises:
        ParamsError: Study and recipe both name weights, or there are none.
    """
    if starts_from == FRESH:
        source = recipe.pretrained
        if source is None:
            return Parent()
        path = Path(source)
        return _parent(path) if path.is_file() else Parent(source)
    if recipe.pretrained is not None:
        raise ParamsError(
            f"the run starts from {starts_from} and its recipe from {recipe.pretrained}",
            "one of the two",
            f"Set `starts_from: {FRESH}`, or `pretrained: null` in the overrides of the run.",
        )
    path = starts_from / BACKBONE_FILE if starts_from.is_dir() else starts_from
    if not path.is_file():
        raise ParamsError(
            f"{path}: no such file",
            "the weights that the run starts from",
            f"Run the pretraining first, or set `starts_from: {FRESH}`.",
        )
    parent = _parent(path)
    _compare_normalisation(parent, recipe)
    return parent


def known_parent(names: Sequence[str]) -> Parent:
    """Return the parent that a model card names, with what its file still tells."""
    if not names:
        return Parent()
    path = Path(names[0])
    return _parent(path) if path.is_file() else Parent(names[0])


def begin_network(
    recipe: Recipe, facts: DataFacts, seed: int, weights: Path | str | None
) -> EmbeddingNetwork:
    """Make the network that a training begins with; the same arguments give the same weights.

    Args:
        weights: Of the parent; None for fresh weights.

    Raises:
        CheckpointError: The weights cannot be loaded.
    """
    torch.manual_seed(seed)
    network = build_network(recipe, facts)
    if weights is not None:
        report = get_method(recipe.method).load_pretrained(network, weights)
        print(f"{weights}: {report.summary()}")
    return network


def _parent(path: Path) -> Parent:
    return Parent(path, sha256(path), load_card(path.parent), read_facts(path))


def _compare_normalisation(parent: Parent, recipe: Recipe) -> None:
    """Say where pixels will look other than the backbone saw them; published recipes do so."""
    facts, image = parent.facts, recipe.image
    if facts is not None and (facts.mean, facts.std) != (image.mean, image.std):
        warn(
            f"{parent.weights} was pretrained with mean {facts.mean} and std {facts.std}, the "
            f"recipe has {image.mean} and {image.std}; equal ones lose less at the start",
            ReidWarning,
            stacklevel=2,
        )
