"""The selective scan and ReIDMamba on an accelerator, against float64 on the CPU."""

from pathlib import Path
from typing import cast

import pytest
import torch
from torch import Tensor

from reid.data.images import Batch
from reid.methods.base import DataFacts
from reid.methods.registry import build_network, load_recipe
from reid.nn.scan.backends import Backend, choose_backend, missing_reason
from reid.nn.scan.selective import selective_scan
from reid.training.optimiser import build_optimiser

pytestmark = pytest.mark.gpu

DEVICE = "cuda"
BACKENDS = [name for name in ("cuda", "torch") if missing_reason(name, DEVICE) is None]
RECIPE = Path(__file__).parents[2] / "params/methods/reidmamba/smoke.yaml"
TOLERANCE = 1e-4  # of the largest value; the scan adds hundreds of terms in float32


def inputs(size: float) -> list[Tensor]:
    """u, delta, A, B, C, D, z and the bias of delta, in two groups; `size` is that of delta."""
    draw = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw, dtype=torch.float64)

    decay = -torch.arange(1.0, 17, dtype=torch.float64).repeat(64, 1)
    mixing = [normal(3, 2, 16, 100) for _ in range(2)]
    u, delta, z = (normal(3, 64, 100) for _ in range(3))
    return [u, size * delta, decay, *mixing, normal(64), z, normal(64) - 3]


def results(given: list[Tensor], backend: str, reverse: tuple[bool, bool]) -> list[Tensor]:
    """Return output, last state and all gradients."""
    leaves = [x.detach().clone().requires_grad_() for x in given]
    out, last = selective_scan(*leaves, reverse=reverse, backend=cast(Backend, backend))
    weights = torch.linspace(-1, 1, out.numel(), device=out.device, dtype=out.dtype)
    gradients = torch.autograd.grad((out.flatten() * weights).sum(), leaves)
    return [out.detach(), last, *gradients]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("reverse", [(False, False), (False, True), (True, False)])
@pytest.mark.parametrize("size", [1.0, 100.0])
def test_a_scan_gives_what_the_definition_gives(
    backend: str, reverse: tuple[bool, bool], size: float
) -> None:
    given = inputs(size)
    expected = results(given, "reference", reverse)
    found = results([x.float().to(DEVICE) for x in given], backend, reverse)
    for mine, truth in zip(found, expected, strict=True):
        error = (mine.double().cpu() - truth).abs().max() / truth.abs().max()
        assert float(error) <= TOLERANCE


@pytest.mark.parametrize("backend", BACKENDS)
def test_half_precision_gives_numbers(backend: str) -> None:
    given = [x.to(DEVICE, torch.bfloat16) for x in inputs(100.0)]
    with torch.autocast(DEVICE, torch.bfloat16):
        found = results(given, backend, (False, True))
    assert found[0].dtype == torch.bfloat16
    assert all(torch.isfinite(x).all() for x in found)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_a_step_of_reidmamba_lowers_its_loss(precision: torch.dtype) -> None:
    torch.manual_seed(0)
    recipe = load_recipe(RECIPE)
    network = build_network(recipe, DataFacts(4, 2, 1)).to(DEVICE).train()
    choice = choose_backend("auto", DEVICE)
    assert network.backends(DEVICE) == {"scan": choice}
    optimiser = build_optimiser(network, recipe.optimiser)
    labels = torch.arange(4, device=DEVICE).repeat_interleave(3)
    images = torch.randn(12, 3, recipe.image.height, recipe.image.width, device=DEVICE)
    batch = Batch(images, labels, labels % 2, labels * 0, labels * 0)
    losses = []
    for _ in range(10):
        with torch.autocast(DEVICE, precision, enabled=precision != torch.float32):
            loss = network.losses(batch)["loss"]
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
