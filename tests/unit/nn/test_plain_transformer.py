import pytest
import torch
from torch import nn

from reid.nn.patch import PatchEmbedding
from reid.nn.patch_view import view_last_block
from reid.nn.plain_transformer import PlainTransformer
from reid.nn.stem import ConvolutionStem
from reid.nn.vision_transformer import Branch, TransformerShape, Trunk

SHAPE = TransformerShape(12, 3, 2, 4.0, True, None, drop_path=0.2)


def plain() -> PlainTransformer:
    torch.manual_seed(0)
    return PlainTransformer(SHAPE, PatchEmbedding((16, 8), 4, (4, 4), 12)).eval()


@torch.no_grad()
def test_the_class_feature_is_the_first_token() -> None:
    made, images = plain(), torch.randn(2, 3, 16, 8)
    tokens = made(images)
    assert tokens.shape == (2, 9, 12)
    torch.testing.assert_close(made.class_feature(images), tokens[:, 0], rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_it_is_trunk_and_branch_in_one() -> None:
    made, images = plain(), torch.randn(2, 3, 16, 8)
    trunk, branch = Trunk(SHAPE, (16, 8), 4, (4, 4), None), Branch(SHAPE)
    state = made.state_dict()
    trunk.load_state_dict({k: v for k, v in state.items() if k in trunk.state_dict()})
    last = {f"block.{k.removeprefix('blocks.2.')}": v for k, v in state.items() if "blocks.2." in k}
    branch.load_state_dict(last | {k: v for k, v in state.items() if k.startswith("norm.")})
    ids = torch.zeros(2).long()
    expected = branch.eval()(trunk.eval()(images, ids, ids))
    torch.testing.assert_close(made.class_feature(images), expected, rtol=1e-5, atol=1e-6)


def test_stochastic_depth_reaches_the_last_block() -> None:
    rates = [block.drop_path.drop_prob for block in plain().blocks]
    assert rates == pytest.approx([0.0, 0.1, 0.2])


def test_a_stem_takes_the_place_of_the_patches() -> None:
    made = PlainTransformer(SHAPE, ConvolutionStem((32, 16), 12)).eval()
    assert made(torch.randn(1, 3, 32, 16)).shape == (1, 3, 12)


@torch.no_grad()
def test_the_view_shows_the_tokens_of_the_forward_pass_on_their_grid() -> None:
    made, images = plain(), torch.randn(2, 3, 16, 8)
    view = made.view_patches(images)
    assert view.tokens.shape == (2, 4, 2, 12)
    expected = made(images)[:, 1:].reshape(2, 4, 2, 12)
    torch.testing.assert_close(view.tokens, expected, rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_the_view_shows_the_attention_of_the_class_token_in_the_last_block() -> None:
    made, images = plain(), torch.randn(2, 3, 16, 8)
    seen = []
    made.blocks[-1].norm1.register_forward_hook(lambda *call: seen.append(call[2]))
    attention = made.view_patches(images).attention
    assert attention.shape == (2, 2, 4, 2)
    weights = made.blocks[-1].attn.weights(seen[0])[:, :, 0]
    torch.testing.assert_close(attention.flatten(2), weights[:, :, 1:])
    torch.testing.assert_close(attention.sum(dim=(2, 3)), 1 - weights[:, :, 0])


def test_only_a_transformer_block_can_be_viewed() -> None:
    with pytest.raises(TypeError, match="Linear"):
        view_last_block(torch.zeros(1, 3, 4), nn.Linear(4, 4), nn.LayerNorm(4), (1, 2))
