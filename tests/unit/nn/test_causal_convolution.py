import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from reid.nn.causal_convolution import convolve_both_ways


def drawn(batch: int, steps: int, channels: int, taps: int, rest: int) -> list[Tensor]:
    """x as the first part of longer rows, weight and bias, in double precision."""
    generator = torch.Generator().manual_seed(steps)
    rows, weight, bias = (
        torch.randn(*shape, generator=generator, dtype=torch.float64)
        for shape in ((batch, steps, channels + rest), (2, channels, taps), (2, channels))
    )
    return [rows, weight, bias]


def run(data: list[Tensor], channels: int, kind: torch.dtype, native: bool) -> list[Tensor]:
    """Output and gradients."""
    rows, weight, bias = leaves = [x.to(kind, copy=True).requires_grad_() for x in data]
    out = convolve_both_ways(rows[..., :channels], weight, bias, native=native)
    (out * torch.linspace(-1, 1, out.numel()).view(out.shape)).sum().backward()
    return [out.detach(), *(x.grad for x in leaves if x.grad is not None)]


@settings(max_examples=20, deadline=None)
@given(
    batch=st.integers(1, 3),
    steps=st.integers(1, 9),
    channels=st.integers(1, 40),
    taps=st.integers(1, 5),
    rest=st.integers(0, 7),
)
def test_compiled_code_and_torch_agree(
    batch: int, steps: int, channels: int, taps: int, rest: int
) -> None:
    data = drawn(batch, steps, channels, taps, rest)
    found = run(data, channels, torch.float32, native=True)
    expected = run(data, channels, torch.float64, native=False)
    for got, truth in zip(found, expected, strict=True):
        assert float((got - truth).norm()) <= 2e-6 * float(truth.norm())


@pytest.mark.parametrize("native", [True, False])
def test_each_direction_sees_one_side(native: bool) -> None:
    rows, weight, bias = (x.float() for x in drawn(1, 9, 3, 4, 0))
    changed = rows.clone()
    changed[:, 4] += 1
    before, after = (convolve_both_ways(x, weight, bias, native=native) for x in (rows, changed))
    moved = (before != after).any(dim=3)[:, 0]
    assert moved[0].nonzero().flatten().tolist() == [4, 5, 6, 7]
    assert moved[1].nonzero().flatten().tolist() == [1, 2, 3, 4]


def test_other_memory_orders_are_copied() -> None:
    rows, weight, bias = (x.float() for x in drawn(2, 6, 4, 3, 0))
    twisted = rows.transpose(1, 2).contiguous().transpose(1, 2)
    found = convolve_both_ways(twisted, weight, bias, native=True)
    torch.testing.assert_close(found, convolve_both_ways(rows, weight, bias, native=False))


def test_large_values_do_not_overflow() -> None:
    rows = torch.tensor([[[-1e4, -200.0, 0.0, 200.0, 1e4]]])
    weight, bias = torch.ones(2, 5, 1), torch.zeros(2, 5)
    out = convolve_both_ways(rows, weight, bias, native=True)[0, 0, 0]
    assert out.tolist() == pytest.approx([0, 0, 0, 200, 1e4], abs=1e-6)
