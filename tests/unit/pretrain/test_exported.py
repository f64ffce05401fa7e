from pathlib import Path

import pytest
import torch
import yaml

from reid.errors import CheckpointError
from reid.pretrain.backbone import PretrainBackbone
from reid.pretrain.exported import load_exported
from reid.pretrain.parent import BACKBONE_FILE
from reid.pretrain.pretrained_directory import RECIPE_FILE, export_backbone
from reid.pretrain.recipe import load_pretrain_recipe

SMOKE = Path(__file__).parents[3] / "params" / "pretrain" / "smoke.yaml"


@pytest.fixture
def exported(tmp_path: Path) -> tuple[Path, PretrainBackbone]:
    torch.manual_seed(0)
    recipe = load_pretrain_recipe(SMOKE)
    backbone = PretrainBackbone(recipe.model, recipe.views.global_size, hides=False)
    export_backbone(tmp_path / BACKBONE_FILE, backbone, recipe)
    plain = recipe.model_dump(mode="json")
    (tmp_path / RECIPE_FILE).write_text(yaml.safe_dump(plain), encoding="utf-8")
    return tmp_path / BACKBONE_FILE, backbone.eval()


@torch.no_grad()
def test_a_backbone_comes_back_equal(exported: tuple[Path, PretrainBackbone]) -> None:
    path, backbone = exported
    loaded = load_exported(path)
    assert not loaded.network.training
    assert loaded.facts.image_size == (64, 32)
    images = torch.randn(2, 3, 64, 32)
    torch.testing.assert_close(loaded.network(images), backbone(images))


def test_a_missing_recipe_is_named(exported: tuple[Path, PretrainBackbone]) -> None:
    exported[0].with_name(RECIPE_FILE).unlink()
    with pytest.raises(CheckpointError, match=r"has no recipe.yaml beside it; expected"):
        load_exported(exported[0])


def test_another_file_is_refused(tmp_path: Path) -> None:
    torch.save({}, tmp_path / "weights.pth")
    with pytest.raises(CheckpointError, match=r"weights.pth: no exported backbone; expected"):
        load_exported(tmp_path / "weights.pth")
