import pytest
import torch
from torch import Tensor, nn

from reid.nn.mamba_block import MambaBlock, drop_rate


class Doubled(nn.Module):
    def forward(self, tokens: Tensor) -> Tensor:
        return (2 * tokens).to(torch.bfloat16) if torch.is_autocast_enabled("cpu") else 2 * tokens


def rms_norm(x: Tensor) -> Tensor:
    return x / (x.square().mean(dim=-1, keepdim=True) + 1e-5).sqrt()


def test_the_sum_is_put_off() -> None:
    block = MambaBlock(Doubled(), 4, 0.0)
    torch.nn.init.constant_(block.norm.weight, 3.0)
    tokens = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0))
    hidden, residual = block(tokens, None)
    torch.testing.assert_close(residual, tokens)
    torch.testing.assert_close(hidden, 6 * rms_norm(tokens))
    again, summed = block(hidden, residual)
    torch.testing.assert_close(summed, tokens + hidden)
    torch.testing.assert_close(again, 6 * rms_norm(tokens + hidden))


def test_stochastic_depth_acts_on_what_came_before() -> None:
    torch.manual_seed(0)
    block = MambaBlock(Doubled(), 4, 0.5).train()
    hidden, residual = torch.ones(64, 3, 4), torch.full((64, 3, 4), 10.0)
    _, summed = block(hidden, residual)
    per_sample = summed[:, 0, 0]
    assert set(per_sample.tolist()) == {10.0, 12.0}  # left out, or scaled by the share kept
    torch.testing.assert_close(summed, per_sample[:, None, None].expand_as(summed))
    _, first = block(hidden, None)
    assert first.eq(1).all()
    assert block.eval()(hidden, residual)[1].eq(11).all()


def test_the_stream_is_single_precision() -> None:
    block = MambaBlock(Doubled(), 4, 0.0)
    with torch.autocast("cpu", torch.bfloat16):
        hidden, residual = block(torch.ones(1, 2, 4, dtype=torch.bfloat16), None)
        assert hidden.dtype == torch.bfloat16
        assert residual.dtype == torch.float32
        assert block(hidden, residual)[1].dtype == torch.float32


@pytest.mark.parametrize(("rate", "depth"), [(0.3, 24), (0.1, 3)])
def test_rates_rise_evenly_and_lag_by_one(rate: float, depth: int) -> None:
    rates = [drop_rate(rate, index, depth) for index in range(depth)]
    assert rates == pytest.approx([0.0, *(rate * i / (depth - 1) for i in range(depth - 1))])
