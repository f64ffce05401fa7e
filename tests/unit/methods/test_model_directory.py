from pathlib import Path
from typing import Any

import pytest
import torch

from reid.data.images import Batch
from reid.errors import CheckpointError
from reid.methods.base import EmbeddingNetwork
from reid.methods.model_directory import ModelCard, load_model, save_model
from reid.methods.registry import build_network, load_recipe
from reid.recipe import Recipe

RECIPES = Path(__file__).parents[3] / "params" / "methods"


def card(method: str, **changes: Any) -> ModelCard:
    facts: dict[str, Any] = {
        "run": "r",
        "study": "s",
        "method": method,
        "person_ids": (4, 7, 9),
        "camera_ids": (0, 2),
        "num_views": 1,
        "feature_size": 72,
        "parameters": 1,
        "train_dataset": "d",
        "manifest_digest": "abc",
        "licence": "CC0",
        "status": "open",
        "consent": "synthetic",
        "precision": "fp32",
        "seed": 0,
        "epochs": 2,
        "version": "0.1.0",
    }
    return ModelCard(**(facts | changes))


def trained(method: str) -> tuple[EmbeddingNetwork, Recipe, ModelCard]:
    torch.manual_seed(0)
    recipe = load_recipe(RECIPES / method / "smoke.yaml")
    network = build_network(recipe, card(method).facts)
    return network, recipe, card(method)


@pytest.mark.parametrize("method", ["transreid", "personvit", "bot"])
def test_a_model_comes_back_equal(tmp_path: Path, method: str) -> None:
    network, recipe, facts = trained(method)
    save_model(tmp_path, network, recipe, facts)
    loaded = load_model(tmp_path)
    assert (loaded.recipe, loaded.card) == (recipe, facts)
    assert not loaded.network.training
    images = torch.randn(2, 3, recipe.image.height, recipe.image.width)
    ids = torch.tensor([0, 1])
    batch = Batch(images, ids, ids, ids * 0, ids * 0)
    with torch.no_grad():
        assert torch.equal(loaded.network.embed(batch), network.eval().embed(batch))


def test_equal_models_have_equal_bytes(tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
        save_model(folder, *trained("transreid"))
    contents = [{f.name: f.read_bytes() for f in folder.iterdir()} for folder in folders]
    assert contents[0] == contents[1]
    assert contents[0].keys() == {"model.safetensors", "recipe.yaml", "card.json"}


@pytest.mark.parametrize("name", ["model.safetensors", "recipe.yaml", "card.json"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    save_model(tmp_path, *trained("transreid"))
    (tmp_path / name).unlink()
    with pytest.raises(CheckpointError, match=f"has no {name}"):
        load_model(tmp_path)


def test_a_card_of_other_data_is_refused(tmp_path: Path) -> None:
    network, recipe, _ = trained("transreid")
    save_model(tmp_path, network, recipe, card("transreid", person_ids=(1, 2)))
    with pytest.raises(CheckpointError, match=r"classifiers\.0\.weight' is \[3, 24\] in the file"):
        load_model(tmp_path)


def test_a_damaged_card_is_refused(tmp_path: Path) -> None:
    save_model(tmp_path, *trained("transreid"))
    (tmp_path / "card.json").write_text('{"run": "r"}')
    with pytest.raises(CheckpointError, match=r"cannot be loaded \(.*'study' is missing"):
        load_model(tmp_path)
