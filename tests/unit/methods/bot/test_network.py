from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from reid.data.images import Batch
from reid.errors import CheckpointError, ParamsError
from reid.methods.base import DataFacts
from reid.methods.bot import METHOD, BagOfTricks, BotRecipe


def network(backbone: str = "resnet10t", last_stride: int = 1) -> BagOfTricks:
    torch.manual_seed(0)
    recipe = BotRecipe.model_validate(
        {
            "optimiser": {"learning_rate": 0.01},
            "model": {"backbone": backbone, "last_stride": last_stride},
        }
    )
    built = METHOD.build(recipe, DataFacts(3, 1, 1))
    assert isinstance(built, BagOfTricks)
    return built


def batch() -> Batch:
    images = torch.randn(6, 3, 64, 32, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(6) // 2
    return Batch(images, labels, labels * 0, labels * 0, labels * 0)


@pytest.mark.parametrize("backbone", ["resnet10t", "resnet18"])
def test_last_stride_1_doubles_the_map_and_keeps_the_weights(backbone: str) -> None:
    fine, coarse = network(backbone, 1), network(backbone, 2)
    assert fine.state_dict().keys() == coarse.state_dict().keys()
    assert fine.backbone.forward_features(batch().images).shape[-2:] == (4, 2)
    assert coarse.backbone.forward_features(batch().images).shape[-2:] == (2, 1)


def test_the_embedding_is_the_average_after_the_neck() -> None:
    made = network().eval()
    made.neck.running_mean.fill_(0.5)
    with torch.no_grad():
        average = made.backbone.forward_features(batch().images).mean(dim=(2, 3))
        expected = (average - 0.5) / (1 + 1e-5) ** 0.5
        torch.testing.assert_close(made.embed(batch()), expected)
    assert made.feature_size == expected.shape[1]
    assert not made.uses_cameras


def test_every_trainable_weight_is_trained() -> None:
    made = network()
    losses = made.losses(batch())
    losses["loss"].backward()
    torch.testing.assert_close(losses["loss"], losses["identity"] + losses["triplet"])
    assert all(p.grad is not None for p in made.parameters() if p.requires_grad)
    assert [key for key, p in made.named_parameters() if not p.requires_grad] == ["neck.bias"]


def test_imagenet_weights_are_loaded_without_their_classifier(tmp_path: Path) -> None:
    source, target = network(), network()
    state: dict[str, Any] = {
        key: torch.full_like(value, 3) for key, value in source.backbone.state_dict().items()
    }
    path = tmp_path / "resnet.safetensors"
    save_file(state | {"fc.weight": torch.zeros(10, 512)}, path)
    report = METHOD.load_pretrained(target, path)
    assert report.dropped == ("fc.weight",)
    assert all((value == 3).all() for value in target.backbone.state_dict().values())


@pytest.mark.parametrize(
    ("backbone", "last_stride", "message"),
    [
        ("resnet81", 1, r"timm has no model 'resnet81' \(did you mean 'resnet\d+"),
        ("mobilenetv3_small_050", 1, "last_stride 1 with backbone 'mobilenetv3_small_050', whose"),
    ],
)
def test_unfit_backbones_are_refused(backbone: str, last_stride: int, message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        network(backbone, last_stride)


def test_a_transformer_is_refused() -> None:
    made = network("swin_s3_tiny_224", 2)
    images = torch.zeros(1, 3, 224, 224)
    with torch.device("meta"), pytest.raises(ParamsError, match="gives features of shape"):
        made.to("meta").features(images.to("meta"))


def test_foreign_checkpoints_are_refused() -> None:
    with pytest.raises(CheckpointError, match="a foreign checkpoint of 0 keys for method 'bot'"):
        METHOD.convert_checkpoint({})
