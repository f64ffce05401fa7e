import pytest
import torch
from torch import nn

from reid.errors import ParamsError
from reid.nn.resnet import (
    RESNETS,
    ResNet,
    ResNetSize,
    SplitNorm,
    Stage,
    map_size,
    resnet_parts,
    resnet_stages,
)
from reid.params import Params, parse_params

TINY = ResNetSize(stem=4, planes=(2, 3, 5), blocks=(2, 1, 2))
# of torchvision's networks without the classifier
PARAMETERS = {
    "resnet18": 11_176_512,
    "resnet34": 21_284_672,
    "resnet50": 23_508_032,
    "resnet101": 42_500_160,
    "resnet152": 58_143_808,
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_keys_and_sizes_are_those_of_torchvision(name: str) -> None:
    import timm  # its plain residual networks have torchvision's names

    with torch.device("meta"):
        network = ResNet(RESNETS[name], "layer4")
        reference = timm.create_model(name)
    expected = {key: value.shape for key, value in reference.state_dict().items()}
    own = {key: value.shape for key, value in network.state_dict().items()}
    assert expected.keys() - own.keys() == {"fc.weight", "fc.bias"}
    assert own.items() <= expected.items()
    assert sum(p.numel() for p in network.parameters()) == PARAMETERS[name]


@torch.no_grad()
@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_it_computes_what_the_reference_does(name: str) -> None:
    import timm

    torch.manual_seed(0)
    reference = timm.create_model(name).eval()
    network = ResNet(RESNETS[name], "layer4").eval()
    weights = reference.state_dict()
    network.load_state_dict({k: v for k, v in weights.items() if not k.startswith("fc.")})
    images = torch.randn(1, 3, 48, 32)
    torch.testing.assert_close(network(images), reference.forward_features(images))


@torch.no_grad()
@pytest.mark.parametrize("basic", [True, False])
@pytest.mark.parametrize("ibn", ["none", "a", "b"])
@pytest.mark.parametrize("final", ["layer1", "layer2", "layer3"])
def test_maps_have_the_announced_size(final: Stage, ibn: str, basic: bool) -> None:
    size = TINY.model_copy(update={"basic": basic})
    network = ResNet(size, final, ibn)  # type: ignore[arg-type]
    for height, width in ((64, 32), (50, 33)):
        maps = network(torch.randn(2, 3, height, width))
        assert maps.shape == (2, network.channels, *map_size(height, width, final))
    assert list(dict(network.named_children())) == list(resnet_parts(size, final))


def test_instance_norms_of_kind_b() -> None:
    parts = dict(
        ResNet(TINY.model_copy(update={"blocks": (2, 1, 2)}), "layer3", "b").named_modules()
    )
    found = {name for name, part in parts.items() if isinstance(part, nn.InstanceNorm2d)}
    assert found == {"bn1", "layer1.1.IN", "layer2.0.IN"}
    assert all(parts[name].affine for name in found)


def test_instance_norms_of_kind_a() -> None:
    size = TINY.model_copy(update={"planes": (2, 3, 5, 7), "blocks": (2, 1, 2, 1)})
    parts = dict(ResNet(size, "layer4", "a").named_modules())
    split = {name for name, part in parts.items() if isinstance(part, SplitNorm)}
    assert split == {"layer1.0.bn1", "layer1.1.bn1", "layer2.0.bn1", "layer3.0.bn1", "layer3.1.bn1"}
    norm = parts["layer3.0.bn1"]
    assert isinstance(norm, SplitNorm)
    assert (norm.IN.num_features, norm.BN.num_features) == (2, 3)
    assert isinstance(parts["bn1"], nn.BatchNorm2d)


@torch.no_grad()
def test_a_split_norm_treats_its_halves_apart() -> None:
    norm, maps = SplitNorm(5).eval(), torch.randn(3, 5, 4, 4)
    found = norm(maps)
    own = (maps[:, :2] - maps[:, :2].mean(dim=(2, 3), keepdim=True)).div(
        (maps[:, :2].var(dim=(2, 3), keepdim=True, unbiased=False) + 1e-5).sqrt()
    )
    torch.testing.assert_close(found[:, :2], own)
    torch.testing.assert_close(found[:, 2:], maps[:, 2:] / (1 + 1e-5) ** 0.5)


def test_parts_nobody_runs_are_left_out() -> None:
    keys = ["conv1.weight", "layer2.0.bn1.bias", "layer3.0.bn1.bias", "layer4.0.x", "fc.bias", "y"]
    assert ResNet(TINY, "layer2").left_out(keys) == ("layer3.0.bn1.bias", "layer4.0.x", "fc.bias")
    assert ResNet(TINY, "layer3").left_out(keys) == ("layer4.0.x", "fc.bias")


def test_convolutions_start_like_the_published_ones() -> None:
    torch.manual_seed(0)
    size = ResNetSize(stem=64, planes=(64,), blocks=(1,), basic=True)
    weight = ResNet(size, "layer1").get_parameter("layer1.0.conv1.weight")
    assert float(weight.detach().std()) == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.02)


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ({"planes": [4, 8], "blocks": [1]}, "as many planes as blocks"),
        ({"planes": [], "blocks": []}, "1 to 4 stages"),
        ({"planes": [4] * 5, "blocks": [1] * 5}, "1 to 4 stages"),
        ({"stem": 0, "blocks": [1, 1, 1, 1]}, "sizes of at least 1"),
        ({"planes": [4], "blocks": [0]}, "sizes of at least 1"),
    ],
)
def test_impossible_sizes(size: dict[str, object], message: str) -> None:
    class Holder(Params):
        size: ResNetSize

    with pytest.raises(ParamsError, match=message):
        parse_params({"size": size}, Holder, "recipe.yaml")


def test_a_stage_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="a final layer among the 3"):
        resnet_parts(TINY, "layer4")


@torch.no_grad()
@pytest.mark.parametrize("basic", [True, False])
def test_stages_apart_are_the_network(basic: bool) -> None:
    size = TINY.model_copy(update={"basic": basic})
    torch.manual_seed(0)
    whole = ResNet(size, "layer3").eval()
    front = nn.Sequential(*resnet_parts(size, "layer1").values()).eval()
    stages = resnet_stages(size, range(2, 4))
    assert list(stages) == ["layer2", "layer3"]
    late = nn.ModuleDict(stages).eval()
    state = whole.state_dict()
    late.load_state_dict({k: v for k, v in state.items() if k.startswith(("layer2", "layer3"))})
    for own, (_, part) in zip(front, whole.named_children(), strict=False):
        own.load_state_dict(part.state_dict())
    images = torch.randn(2, 3, 48, 32)
    found = late["layer3"](late["layer2"](front(images)))
    assert torch.equal(found, whole(images))


@torch.no_grad()
@pytest.mark.parametrize("basic", [True, False])
def test_only_the_last_stage_of_the_network_has_the_last_stride(basic: bool) -> None:
    size = TINY.model_copy(update={"basic": basic})
    for stride, expected in ((2, (4, 2)), (1, (8, 4))):
        torch.manual_seed(0)
        stages = resnet_stages(size, range(2, 4), last_stride=stride)
        maps = torch.randn(1, size.channels(1), 16, 8)
        middle = stages["layer2"](maps)
        assert middle.shape[2:] == (8, 4)
        assert stages["layer3"](middle).shape == (1, size.channels(3), *expected)
    alone = resnet_stages(size, range(2, 3), last_stride=1)["layer2"]
    assert alone(maps).shape[2:] == (8, 4)


def test_the_last_stride_changes_no_weight() -> None:
    states = [
        nn.ModuleDict(resnet_stages(TINY, range(3, 4), last_stride=stride)).state_dict()
        for stride in (1, 2)
    ]
    shapes = [{key: value.shape for key, value in state.items()} for state in states]
    assert shapes[0] == shapes[1]
