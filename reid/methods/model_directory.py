"""The trained model on disk: weights, the recipe they were made with, and a card."""

from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import Field
from safetensors.torch import save_file

from reid.errors import CheckpointError, ReidError
from reid.methods.base import DataFacts, EmbeddingNetwork
from reid.methods.registry import build_network, load_recipe
from reid.nn.backbone_file import BackboneFacts
from reid.nn.checkpoint import load_state, read_weights
from reid.params import Params, parse_params, read_yaml
from reid.recipe import Precision, Recipe

WEIGHTS_FILE = "model.safetensors"
RECIPE_FILE = "recipe.yaml"
CARD_FILE = "card.json"


class ModelCard(Params):
    """What must be known of a trained model beside its recipe.

    Attributes:
        person_ids: Training people in the order of their labels.
        camera_ids: Training cameras in the order of their rank.
        num_views: Distinct views in the training data.
        feature_size: Length of the embedding, or of what a pair scorer keeps of an image.
        parameters: Number of weights.
        train_dataset: Training set.
        manifest_digest: Digest of its manifest.
        licence, status, consent: What the manifest says about the data's use.
        acknowledged_by: Who used withdrawn data all the same, and why.
        parents: Models or weights that this one was trained from.
        pretraining: Grid and normalisation of the parent's images, where its file says them.
        git_commit: Commit of the code, `+dirty` if it had changes.
        world_size: Processes that trained together.
        backends: Implementation in training of each part that has several, such as the scan.
        training_seconds: Time of all epochs, without those of a parent; None where nobody took it.
        version: Version of this program.
    """

    run: str
    study: str
    method: str
    person_ids: tuple[int, ...]
    camera_ids: tuple[int, ...]
    num_views: int = Field(ge=0)
    feature_size: int = Field(ge=1)
    parameters: int = Field(ge=0)
    train_dataset: str
    manifest_digest: str
    licence: str
    status: str
    consent: str
    acknowledged_by: str = ""
    parents: tuple[str, ...] = ()
    pretraining: BackboneFacts | None = None
    mlflow_run_id: str | None = None
    git_commit: str | None = None
    precision: Precision
    seed: int
    world_size: int = Field(1, ge=1)
    backends: dict[str, str] = Field(default_factory=dict)
    epochs: int = Field(ge=1)
    training_seconds: float | None = Field(None, ge=0)
    version: str

    @property
    def facts(self) -> DataFacts:
        """What the network was built with."""
        return DataFacts(len(self.person_ids), len(self.camera_ids), self.num_views)


@dataclass(frozen=True)
class LoadedModel:
    """A trained network in evaluation mode, with its recipe and card."""

    network: EmbeddingNetwork
    recipe: Recipe
    card: ModelCard


def save_model(folder: Path, network: EmbeddingNetwork, recipe: Recipe, card: ModelCard) -> None:
    """Write the three files into an existing folder; equal arguments give equal bytes."""
    state = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    save_file(state, folder / WEIGHTS_FILE)
    plain = recipe.model_dump(mode="json")
    (folder / RECIPE_FILE).write_text(yaml.safe_dump(plain, sort_keys=False), encoding="utf-8")
    (folder / CARD_FILE).write_text(card.model_dump_json(indent=2) + "\n", encoding="utf-8")


def load_model(folder: Path) -> LoadedModel:
    """Read a model directory that `save_model` wrote; no network access.

    Raises:
        CheckpointError: A file is missing or damaged, or the weights do not fit the recipe.
    """
    for name in (CARD_FILE, RECIPE_FILE, WEIGHTS_FILE):
        if not (folder / name).is_file():
            raise CheckpointError(
                f"{folder} has no {name}",
                f"a model directory with {CARD_FILE}, {RECIPE_FILE} and {WEIGHTS_FILE}",
                "Train the run, or fetch its model with `dvc pull`.",
            )
    try:
        card = parse_params(read_yaml(folder / CARD_FILE), ModelCard, str(folder / CARD_FILE))
        recipe = load_recipe(folder / RECIPE_FILE)
        network = build_network(recipe, card.facts)
        load_state(network, read_weights(folder / WEIGHTS_FILE))
    except ReidError as error:
        raise CheckpointError(
            f"{folder} cannot be loaded ({error})",
            "an unchanged model directory",
            "Train it again.",
        ) from error
    return LoadedModel(network.eval(), recipe, card)
