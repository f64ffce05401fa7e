"""One MLflow store for all tests, as making its tables takes seconds; and a very small model."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from reid.data.images import Batch
from reid.methods import registry
from reid.methods.base import DataFacts, EmbeddingNetwork, Method
from reid.methods.model_directory import LoadedModel, ModelCard, load_model, save_model
from reid.recipe import ImageRecipe, OptimiserRecipe, Recipe
from tests.unit.methods.transmatcher.tiny import recipe, settled

MakeModel = Callable[..., Path]

RECIPE = Recipe(
    method="tiny",
    image=ImageRecipe(height=16, width=16),
    optimiser=OptimiserRecipe(learning_rate=0.1),
    embed_batch=2,
)


class TinyNetwork(EmbeddingNetwork):
    """Channel means in four quarters, times a matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.feature_size, self.uses_cameras = 6, False
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.linear = nn.Linear(12, 6)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        return {"loss": self.embed(batch).sum()}

    def embed(self, batch: Batch) -> Tensor:
        features: Tensor = self.linear(self.pool(batch.images).flatten(1))
        return features


def _build(recipe: Recipe, facts: DataFacts) -> TinyNetwork:
    return TinyNetwork()


def _refuse(*arguments: object) -> Any:
    raise NotImplementedError


@pytest.fixture(scope="session")
def mlruns(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store") / "mlruns"


@pytest.fixture(autouse=True)
def _no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture
def make_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeModel:
    """Return a function that writes the model directory of a run."""
    package = SimpleNamespace(METHOD=Method("tiny", Recipe, _build, _refuse, _refuse))
    monkeypatch.setitem(sys.modules, "reid.methods.tiny", package)
    monkeypatch.setattr(registry, "METHODS", (*registry.METHODS, "tiny"))

    def make(run: str, study: str = "tiny", seed: int = 0, **facts: Any) -> Path:
        torch.manual_seed(seed)
        folder = tmp_path / study / run
        folder.mkdir(parents=True, exist_ok=True)
        card = {**_card(run, study, seed), **facts}
        save_model(folder, TinyNetwork(), RECIPE, ModelCard.model_validate(card))
        return folder

    return make


@pytest.fixture
def make_pair_model(tmp_path: Path) -> MakeModel:
    """Return a function that writes the model directory of a run that scores pairs."""

    def make(run: str, study: str = "pairs") -> Path:
        folder = tmp_path / study / run
        folder.mkdir(parents=True)
        card = {**_card(run, study, 0), "method": "transmatcher"}
        save_model(folder, settled(), recipe(), ModelCard.model_validate(card))
        return folder

    return make


@pytest.fixture
def pairs(make_pair_model: MakeModel) -> LoadedModel:
    return load_model(make_pair_model("tiny"))


@pytest.fixture
def tiny(make_model: MakeModel) -> LoadedModel:
    return load_model(make_model("tiny"))


def _card(run: str, study: str, seed: int) -> dict[str, Any]:
    return {
        "run": run,
        "study": study,
        "method": "tiny",
        "person_ids": (3, 5),
        "camera_ids": (1,),
        "num_views": 1,
        "feature_size": 6,
        "parameters": 78,
        "train_dataset": "synth",
        "manifest_digest": "ab" * 32,
        "licence": "CC0",
        "status": "open",
        "consent": "synthetic",
        "precision": "fp32",
        "seed": seed,
        "epochs": 1,
        "version": "0.1.0",
    }
