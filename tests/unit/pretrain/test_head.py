import torch

from reid.pretrain.head import ProjectionHead, Prototypes
from reid.pretrain.recipe import HeadRecipe

RECIPE = HeadRecipe(prototypes=7, hidden=6, bottleneck=5)


def test_prototypes_are_directions_times_lengths() -> None:
    torch.manual_seed(0)
    layer = Prototypes(4, 3, frozen_gain=False)
    with torch.no_grad():
        layer.weight_g.copy_(torch.tensor([[1.0], [2.0], [0.5]]))
    rows = torch.stack([g * v / v.norm() for g, v in zip(*layer.parameters(), strict=True)])
    vectors = torch.randn(2, 4)
    torch.testing.assert_close(layer(vectors), vectors @ rows.T)


def test_vectors_have_length_1() -> None:
    torch.manual_seed(0)
    vectors = ProjectionHead(8, RECIPE).vectors(torch.randn(2, 3, 8))
    torch.testing.assert_close(vectors.norm(dim=-1), torch.ones(2, 3))


def test_prototypes_may_be_shared_or_not() -> None:
    vectors = torch.eye(5)
    shared = ProjectionHead(8, RECIPE)
    assert torch.equal(shared.class_logits(vectors), shared.patch_logits(vectors))
    apart = ProjectionHead(8, RECIPE.model_copy(update={"shared": False}))
    assert not torch.equal(apart.class_logits(vectors), apart.patch_logits(vectors))
    extra = apart.state_dict().keys() - shared.state_dict().keys()
    assert extra == {"last_layer2.weight_g", "last_layer2.weight_v"}


def test_names_are_those_of_published_files() -> None:
    assert ProjectionHead(8, RECIPE).state_dict().keys() == {
        *(f"mlp.{i}.{kind}" for i in (0, 2, 4) for kind in ("weight", "bias")),
        "last_layer.weight_g",
        "last_layer.weight_v",
    }


def test_lengths_may_be_frozen() -> None:
    frozen = RECIPE.model_copy(update={"frozen_gain": True, "shared": False})
    names = [n for n, p in ProjectionHead(8, frozen).named_parameters() if not p.requires_grad]
    assert names == ["last_layer.weight_g", "last_layer2.weight_g"]
