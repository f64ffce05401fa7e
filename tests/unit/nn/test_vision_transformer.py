import pytest
import torch

from reid.nn.side_information import SideInformation
from reid.nn.vision_transformer import Branch, TransformerShape, Trunk

SHAPE = TransformerShape(12, 3, 2, 4.0, True, None, drop_path=0.2)


def test_stochastic_depth_grows_linearly_to_the_last_block() -> None:
    rates = [SHAPE.block(index).drop_path.drop_prob for index in range(3)]
    assert rates == pytest.approx([0.0, 0.1, 0.2])
    assert TransformerShape(12, 1, 2, 4.0, True, None, 0.2).block(0).drop_path.drop_prob == 0


def test_linear_layers_start_as_in_the_published_code() -> None:
    torch.manual_seed(0)
    block = TransformerShape(64, 2, 2, 4.0, True, None, 0.0).block(1)
    assert 0.018 < float(block.mlp.fc1.weight.detach().std()) < 0.021
    assert float(block.attn.qkv.bias.detach().abs().max()) == 0


def test_tokens_are_the_sum_of_their_parts() -> None:
    torch.manual_seed(0)
    side = SideInformation(2, 1, 12, weight=3.0)
    trunk = Trunk(SHAPE, (8, 4), 4, (4, 4), side)
    images, cameras, views = torch.randn(2, 3, 8, 4), torch.tensor([1, 0]), torch.zeros(2).long()
    tokens = trunk.tokens(images, cameras, views)
    added = trunk.pos_embed + 3.0 * side.table[[1, 0]]
    torch.testing.assert_close(tokens[:, :1], trunk.cls_token + added[:, :1])
    torch.testing.assert_close(tokens[:, 1:], trunk.patch_embed(images) + added[:, 1:])


def test_the_branch_is_its_block_and_norm_on_the_class_token() -> None:
    torch.manual_seed(0)
    branch = Branch(SHAPE).eval()
    tokens = torch.randn(2, 5, 12)
    expected = branch.norm(branch.block(tokens))[:, 0]
    torch.testing.assert_close(branch(tokens), expected, rtol=1e-5, atol=1e-6)
