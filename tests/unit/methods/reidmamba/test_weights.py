from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from reid.errors import CheckpointError
from reid.methods.base import DataFacts, EmbeddingNetwork
from reid.methods.reidmamba import METHOD, ReIDMamba, ReidMambaRecipe, upstream_names
from reid.methods.reidmamba.weights import fit_positions, nearest_tokens
from reid.nn.checkpoint import load_state, read_weights


def network(**model: Any) -> ReIDMamba:
    small = {"backbone": {"embed": 12, "depth": 4}, "patch": 4, "stride": 4, "tokens": 4}
    recipe = ReidMambaRecipe.model_validate(
        {
            "image": {"height": 32, "width": 16},
            "optimiser": {"learning_rate": 0.01},
            "model": {**small, **model},
        }
    )
    built = METHOD.build(recipe, DataFacts(3, 2, 1))
    assert isinstance(built, ReIDMamba)
    return built


def backbone(tokens: int = 4, side: int = 4) -> dict[str, Tensor]:
    """Weights of Mamba-R: all blocks in one row, one final norm, a neck and a classifier."""
    state = {}
    for key, value in network().state_dict().items():
        first, *rest = key.split(".")
        if first in {"layers", "patch_embed"}:
            state[key] = torch.randn_like(value)
        elif first == "multi_layers" and rest[0] == "0":
            state[".".join(["layers", str(2 + int(rest[1])), *rest[2:]])] = torch.randn_like(value)
    return state | {
        "cls_token": torch.randn(1, tokens, 12),
        "pos_embed_cls": torch.randn(1, tokens, 12),
        "pos_embed": torch.randn(1, side * side, 12),
        "norm_f.weight": torch.randn(12),
        "neck.weight": torch.randn(3, 12),
        "norm_neck.weight": torch.randn(12),
        "head.weight": torch.randn(5, 12),
        "head.bias": torch.randn(5),
    }


def saved(state: dict[str, Tensor], folder: Path) -> Path:
    torch.save({"model": state}, folder / "backbone.pth")
    return folder / "backbone.pth"


def test_a_backbone_goes_into_trunk_and_branches(tmp_path: Path) -> None:
    made, source = network(), backbone()
    report = METHOD.load_pretrained(made, saved(source, tmp_path))
    state = made.state_dict()
    assert torch.equal(state["layers.1.mixer.A_log"], source["layers.1.mixer.A_log"])
    for branch in range(3):
        for own in range(2):
            name = f"multi_layers.{branch}.{own}.mixer.out_proj.weight"
            assert torch.equal(state[name], source[f"layers.{2 + own}.mixer.out_proj.weight"])
        assert torch.equal(state[f"norm_fs.{branch}.weight"], source["norm_f.weight"])
    assert report.resized == ("pos_embed",)
    assert set(report.dropped) == {"neck.weight", "norm_neck.weight", "head.weight", "head.bias"}
    heads = {"necks", "norm_necks", "bnnecks", "sie_embed"}
    assert {key.split(".")[0] for key in report.missing} == heads
    assert torch.equal(state["cls_token"], source["cls_token"])


def test_positions_are_resampled_unless_the_grid_is_the_same() -> None:
    table = torch.randn(1, 16, 3)
    assert fit_positions(table, (4, 4)) is table
    slim = fit_positions(table, (8, 2))  # as many patches, elsewhere
    assert slim.shape == table.shape
    assert not torch.allclose(slim, table)
    flat = torch.full((1, 16, 3), 0.5)
    torch.testing.assert_close(fit_positions(flat, (5, 3)), torch.full((1, 15, 3), 0.5))
    with pytest.raises(CheckpointError, match="of 15 rows; expected the rows of a square grid"):
        fit_positions(table[:, :15], (4, 4))


def test_fewer_tokens_continue_the_nearest(tmp_path: Path) -> None:
    # of 32 patches, 9 old tokens come after 3, 6, … 27 and 4 new ones after 6, 12, 18, 24
    assert nearest_tokens(32, 9, 4) == [1, 3, 5, 7]
    # 2 old ones after 10 and 20; of two equally near the first, and each only once
    assert nearest_tokens(30, 2, 1) == [0]
    assert nearest_tokens(4, 4, 2) == [0, 1]
    made, source = network(), backbone(tokens=9)
    report = METHOD.load_pretrained(made, saved(source, tmp_path))
    assert torch.equal(made.cls_token, source["cls_token"][:, [1, 3, 5, 7]])
    assert torch.equal(made.pos_embed_cls, source["pos_embed_cls"][:, [1, 3, 5, 7]])
    assert report.resized == ("pos_embed", "cls_token", "pos_embed_cls")


def test_more_tokens_surround_the_old_ones(tmp_path: Path) -> None:
    made, source = network(tokens=8), backbone()
    fresh = made.cls_token.detach().clone()
    METHOD.load_pretrained(made, saved(source, tmp_path))
    assert torch.equal(made.cls_token[:, 2:6], source["cls_token"])
    assert torch.equal(made.cls_token[:, :2], fresh[:, :2])
    assert torch.equal(made.cls_token[:, 6:], fresh[:, 6:])
    with pytest.raises(CheckpointError, match=r"3 class tokens for model\.tokens 8; .*even number"):
        METHOD.load_pretrained(network(tokens=8), saved(backbone(tokens=3), tmp_path))


def test_other_backbones_are_refused(tmp_path: Path) -> None:
    deeper = backbone()
    deeper["layers.4.norm.weight"] = torch.ones(12)
    with pytest.raises(CheckpointError, match=r"unknown keys .first 'multi_layers\.0\.2\.norm"):
        METHOD.load_pretrained(network(), saved(deeper, tmp_path))
    without = backbone()
    del without["pos_embed"]
    with pytest.raises(CheckpointError, match=r"1 missing keys .first 'pos_embed'"):
        METHOD.load_pretrained(network(), saved(without, tmp_path))
    with pytest.raises(CheckpointError, match="a file of Mamba-R weights"):
        METHOD.load_pretrained(network(), "timm:vit_base_patch16_224")


def test_files_with_code_are_refused(tmp_path: Path) -> None:
    torch.save({"model": nn.Linear(2, 2)}, tmp_path / "backbone.pth")
    with pytest.raises(CheckpointError, match="cannot be read as plain weights"):
        METHOD.load_pretrained(network(), tmp_path / "backbone.pth")


def test_a_published_checkpoint_loads_strictly(tmp_path: Path) -> None:
    made = network(fusion="gem")
    published = {upstream_names(made)[k]: v + 1 for k, v in made.state_dict().items()}
    assert {"gems.0.p", "gems.2.p"} <= published.keys()
    published |= {"gems.1.p": torch.ones(1), "gems.3.p": torch.ones(1)}
    read = read_weights(saved(published, tmp_path))
    report = load_state(network(fusion="gem"), METHOD.convert_checkpoint(read))
    assert not report.missing
    torch.testing.assert_close(METHOD.convert_checkpoint(read)["gems.1.p"], made.gems[1].p + 1)


def test_other_checkpoints_are_named() -> None:
    with pytest.raises(CheckpointError, match="Mamba-R weights go into `pretrained`"):
        METHOD.convert_checkpoint(backbone())


def test_only_its_own_networks_are_filled() -> None:
    class Other(EmbeddingNetwork):
        def losses(self, batch: Any) -> dict[str, Tensor]:
            return {}

        def embed(self, batch: Any) -> Tensor:
            return batch.images  # type: ignore[no-any-return]

    with pytest.raises(TypeError, match="Other is no ReIDMamba network"):
        METHOD.load_pretrained(Other(), Path("weights.pth"))
