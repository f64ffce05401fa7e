"""What a run starts from, and whose terms it inherits."""

from pathlib import Path
from typing import Any

import pytest
import torch

from reid.data.manifest import EthicsRecord
from reid.errors import ParamsError, ReidWarning
from reid.methods.registry import load_recipe
from reid.nn.backbone_file import BackboneFacts
from reid.pretrain.distillation import build_distillation
from reid.pretrain.parent import BACKBONE_FILE
from reid.pretrain.pretrained_directory import (
    PretrainCard,
    backbone_facts,
    load_card,
    save_card,
    save_pretrained,
)
from reid.pretrain.recipe import load_pretrain_recipe
from reid.recipe import Recipe
from reid.stages.cards import joined_terms
from reid.stages.pretrained import Parent, find_parent
from reid.study import FRESH
from reid.tracking.digest import sha256

PARAMS = Path(__file__).parents[3] / "params"


def recipe(**changes: Any) -> Recipe:
    return load_recipe(PARAMS / "methods/personvit/smoke.yaml", changes)


def card(backbone: BackboneFacts, **facts: Any) -> PretrainCard:
    known: dict[str, Any] = {
        "name": "lup",
        "study": "s",
        "dataset": "crowd",
        "manifest_digest": "ab",
        "images": 3,
        "selected_by": "all",
        "licence": "CC0",
        "status": "open",
        "consent": "synthetic",
        "backbone": backbone,
        "weights_sha256": "cd",
        "mlflow_run_id": "f00",
        "precision": "fp32",
        "seed": 0,
        "epochs": 1,
        "version": "0",
    }
    return PretrainCard.model_validate(known | facts)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = load_pretrain_recipe(PARAMS / "pretrain/smoke.yaml")
    torch.manual_seed(0)
    pair = build_distillation(made)
    path = tmp_path_factory.mktemp("lup")
    kept = path / "kept.safetensors"
    kept.write_bytes(b"1")
    (path / "out").mkdir()
    save_pretrained(path / "out", pair, made, [kept])
    save_card(path / "out", card(backbone_facts(pair.teacher.backbone, made)))
    return path / "out"


def test_a_pretraining_is_a_parent_with_tags(folder: Path) -> None:
    parent = find_parent(folder, recipe())
    digest = sha256(folder / BACKBONE_FILE)
    assert parent.names == (str(folder / BACKBONE_FILE),)
    assert parent.tags == {
        "parent.weights": str(folder / BACKBONE_FILE),
        "parent.weights_sha256": digest,
        "parent.run_id": "f00",
        "mlflow.parentRunId": "f00",
    }
    assert parent.facts is not None
    assert parent.facts.grid == (8, 4)
    assert parent.card == load_card(folder)


def test_a_kept_epoch_has_the_card_of_its_folder(folder: Path) -> None:
    assert (folder / "kept.safetensors").read_bytes() == b"1"
    (folder / "epoch_0001.safetensors").write_bytes((folder / BACKBONE_FILE).read_bytes())
    parent = find_parent(folder / "epoch_0001.safetensors", recipe())
    assert parent.card is not None
    assert parent.card.name == "lup"


def test_fresh_weights_or_those_of_the_recipe(folder: Path) -> None:
    assert find_parent(FRESH, recipe()) == Parent()
    assert find_parent(FRESH, recipe()).tags == {}
    hub = find_parent(FRESH, recipe(pretrained="timm:vit_small_patch16_224"))
    assert hub.names == ("timm:vit_small_patch16_224",)
    file = find_parent(FRESH, recipe(pretrained=str(folder / BACKBONE_FILE)))
    assert file.card is not None


def test_another_normalisation_is_said(folder: Path) -> None:
    with pytest.warns(ReidWarning, match=r"pretrained with mean \(0.485, .* has \(0.5, 0.5, 0.5\)"):
        find_parent(folder, recipe(image={"mean": (0.5, 0.5, 0.5)}))


def test_two_sources_are_refused(folder: Path) -> None:
    with pytest.raises(
        ParamsError, match=r"starts from .* and its recipe from a.pth; expected one"
    ):
        find_parent(folder, recipe(pretrained="a.pth"))


def test_missing_weights_are_named() -> None:
    with pytest.raises(ParamsError, match="lost: no such file; expected the weights that the run"):
        find_parent(Path("lost"), recipe())


OPEN = EthicsRecord(licence="CC BY", status="open", consent="yes")
FACTS = BackboneFacts(grid=(2, 1), image_size=(32, 16), mean=(0.5,) * 3, std=(0.5,) * 3)


def test_terms_of_the_parents_data_travel_along() -> None:
    same = joined_terms(OPEN, Parent(card=card(FACTS, licence="CC BY", consent="yes")))
    assert same == ("CC BY", "open", "yes", "")
    assert joined_terms(OPEN, Parent()) == ("CC BY", "open", "yes", "")
    other = joined_terms(OPEN, Parent(card=card(FACTS, status="research")))
    assert other == ("CC BY; CC0", "open; research", "yes; synthetic", "")


def test_withdrawn_data_of_a_parent_mark_the_child() -> None:
    withdrawn = card(FACTS, status="withdrawn", acknowledged_by="A. N. Other, to compare")
    terms = joined_terms(OPEN, Parent(card=withdrawn))
    assert terms.status == "withdrawn"
    assert terms.acknowledged_by == "A. N. Other, to compare"


def test_a_part_without_licence_leaves_the_whole_without() -> None:
    assert joined_terms(OPEN, Parent(card=card(FACTS, licence=""))).licence == ""
    assert joined_terms(None, Parent()) == ("", "", "", "")
