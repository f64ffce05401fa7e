"""How mamba-ssm is called, with a stand-in for its kernels that works anywhere."""

import sys
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from reid.nn.scan import reference
from reid.nn.scan.backends import missing_reason
from reid.nn.scan.inputs import ScanInputs

INTERFACE = "mamba_ssm.ops.selective_scan_interface"


def kernels(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    return_last_state: bool = False,
) -> tuple[Tensor, Tensor]:
    """What mamba-ssm's function is documented to do with channels [batch, E, L] in groups."""
    assert (D, z, delta_bias, delta_softplus, return_last_state) == (None, None, None, False, True)
    assert all(x.is_contiguous() and x.dtype == torch.float32 for x in (u, delta, A, B, C))
    share = u.shape[1] // B.shape[1]
    B, C = (x.repeat_interleave(share, dim=1) for x in (B, C))  # [batch, E, N, L]
    state, out = torch.zeros(len(u), *A.shape), []
    for t in range(u.shape[2]):
        given = (delta * u)[:, :, t, None] * B[..., t]
        state = (delta[:, :, t, None] * A).exp() * state + given
        out.append((state * C[..., t]).sum(dim=2))
    return torch.stack(out, dim=2), state


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    for name in ("mamba_ssm", "mamba_ssm.ops", INTERFACE):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setattr(sys.modules[INTERFACE], "selective_scan_fn", kernels, raising=False)
    yield import_module("reid.nn.scan.mamba_cuda")
    sys.modules.pop("reid.nn.scan.mamba_cuda")


def inputs(*reverse: bool) -> ScanInputs:
    """Three images of six steps, four channels in each group, five states."""
    draw = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(len(reverse), *shape, generator=draw)

    mixing = normal(3, 6, 5), normal(3, 6, 5)
    return ScanInputs(
        normal(3, 6, 4), F.softplus(normal(3, 6, 4)), -normal(4, 5).exp(), *mixing, reverse
    )


@pytest.mark.parametrize("reverse", [(False,), (False, True), (True, False, True)])
def test_groups_go_their_way(module: ModuleType, reverse: tuple[bool, ...]) -> None:
    given = inputs(*reverse)
    found, expected = [], []
    for scan, kept in ((module.scan, found), (reference.scan, expected)):
        leaves = [x.clone().requires_grad_() for x in given[:5]]
        out, last = scan(ScanInputs(*leaves, reverse))
        assert not last.requires_grad
        weights = torch.linspace(-1, 1, out.numel()).view(out.shape)
        kept += [out.detach(), last, *torch.autograd.grad((out * weights).sum(), leaves)]
    for mine, truth in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, truth)


def test_a_broken_build_is_a_reason_and_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setitem(sys.modules, "mamba_ssm", None)
    reason = missing_reason("cuda", "cuda")
    assert reason is not None
    assert reason.startswith("it does not import: ")
