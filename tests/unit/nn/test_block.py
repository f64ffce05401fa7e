import pytest
import torch
from torch import Tensor

from reid.nn.block import Attention, Block


def attend_by_the_formula(attention: Attention, tokens: Tensor, scale: float) -> Tensor:
    D = tokens.shape[2]
    q, k, v = attention.qkv(tokens).split(D, dim=2)
    size = D // attention.heads
    heads = []
    for head in range(attention.heads):
        part = slice(head * size, (head + 1) * size)
        weights = (q[..., part] @ k[..., part].transpose(1, 2) * scale).softmax(dim=2)
        heads.append(weights @ v[..., part])
    return attention.proj(torch.cat(heads, dim=2))


@pytest.mark.parametrize("qkv_bias", [True, False])
@pytest.mark.parametrize(("scale", "effective"), [(None, 4**-0.5), (0.3, 0.3)])
def test_attention_is_the_formula(qkv_bias: bool, scale: float | None, effective: float) -> None:
    torch.manual_seed(0)
    attention = Attention(12, 3, qkv_bias=qkv_bias, scale=scale)
    tokens = torch.randn(2, 5, 12)
    expected = attend_by_the_formula(attention, tokens, effective)
    torch.testing.assert_close(attention(tokens), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("qkv_bias", [True, False])
@pytest.mark.parametrize("scale", [None, 0.3])
def test_weights_are_those_of_the_fused_attention(qkv_bias: bool, scale: float | None) -> None:
    torch.manual_seed(0)
    attention, tokens = Attention(12, 3, qkv_bias=qkv_bias, scale=scale), torch.randn(2, 5, 12)
    attention.qkv.weight.data *= 5
    weights = attention.weights(tokens)
    v = attention.qkv(tokens)[..., 24:].view(2, 5, 3, 4).transpose(1, 2)
    rebuilt = attention.proj((weights @ v).transpose(1, 2).flatten(2))
    torch.testing.assert_close(attention(tokens), rebuilt, rtol=1e-5, atol=1e-6)
    assert weights.std().item() > 0.01
    torch.testing.assert_close(attention.weights(tokens, queries=2), weights[:, :, :2])


@pytest.mark.parametrize("qkv_bias", [True, False])
def test_limited_outputs_are_the_first_of_all(qkv_bias: bool) -> None:
    torch.manual_seed(0)
    block = Block(12, 3, qkv_bias=qkv_bias)
    tokens = torch.randn(2, 5, 12)
    everything = block(tokens)
    for count in (1, 3):
        limited = block(tokens, outputs=count)
        torch.testing.assert_close(limited, everything[:, :count], rtol=1e-5, atol=1e-6)


def test_limited_outputs_give_the_same_gradients() -> None:
    torch.manual_seed(0)
    block = Block(12, 3)
    tokens = torch.randn(2, 5, 12)
    parameters = list(block.parameters())
    full = torch.autograd.grad(block(tokens)[:, :1].square().sum(), parameters)
    limited = torch.autograd.grad(block(tokens, outputs=1).square().sum(), parameters)
    for a, b in zip(full, limited, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_stochastic_depth_skips_whole_samples_of_a_sum() -> None:
    torch.manual_seed(0)
    block = Block(8, 2, drop_path=0.5)
    tokens = torch.randn(64, 3, 8)
    attended = block.attn(block.norm1(tokens))
    change = block.drop_path(attended) / attended
    assert change.flatten(1).std(dim=1).max() < 1e-5
    assert set(change.flatten().round().tolist()) == {0.0, 2.0}
    assert torch.equal(block.eval()(tokens), block(tokens))
