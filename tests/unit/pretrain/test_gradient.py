import pytest
import torch
from torch import nn

from reid.nn.transformer_recipe import BackboneSize, TransformerRecipe
from reid.pretrain.backbone import PretrainBackbone
from reid.pretrain.distillation import TokenNetwork
from reid.pretrain.gradient import clip_each, decay_groups, freeze_last_layer
from reid.pretrain.head import ProjectionHead
from reid.pretrain.recipe import HeadRecipe


def student() -> TokenNetwork:
    size = BackboneSize(embed=8, depth=1, heads=2)
    backbone = PretrainBackbone(
        TransformerRecipe(backbone=size, patch=4, stride=4), (8, 4), hides=True
    )
    return TokenNetwork(
        backbone, ProjectionHead(8, HeadRecipe(prototypes=5, hidden=4, bottleneck=3))
    )


def test_every_gradient_is_shortened_on_its_own() -> None:
    parameters = [nn.Parameter(torch.zeros(2)) for _ in range(3)]
    parameters[0].grad = torch.tensor([3.0, 4.0])
    parameters[1].grad = torch.tensor([0.3, 0.4])
    norms = clip_each(parameters, 1.0)
    assert [float(n) for n in norms] == pytest.approx([5.0, 0.5])
    torch.testing.assert_close(parameters[0].grad, torch.tensor([0.6, 0.8]))
    assert parameters[1].grad.tolist() == pytest.approx([0.3, 0.4])
    assert parameters[2].grad is None


def test_nothing_to_clip() -> None:
    assert clip_each([nn.Parameter(torch.zeros(2))], 1.0) == []


def test_biases_and_vectors_are_not_decayed() -> None:
    network = student()
    names = {parameter: name for name, parameter in network.named_parameters()}
    decayed, others = ({names[p] for p in group["params"]} for group in decay_groups(network))
    assert {"backbone.cls_token", "backbone.masked_embed", "head.last_layer.weight_g"} <= decayed
    assert {"backbone.norm.weight", "backbone.blocks.0.attn.qkv.bias"} <= others
    assert len(decayed) + len(others) == len(names)


def test_frozen_parameters_are_in_no_group() -> None:
    network = student()
    network.head.requires_grad_(False)
    grouped = sum(len(group["params"]) for group in decay_groups(network))
    assert grouped == len(list(network.backbone.parameters()))


def test_prototypes_can_be_held_still() -> None:
    network = student()
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    assert freeze_last_layer(network) == ["head.last_layer.weight_g", "head.last_layer.weight_v"]
    without = [name for name, p in network.named_parameters() if p.grad is None]
    assert without == ["head.last_layer.weight_g", "head.last_layer.weight_v"]
