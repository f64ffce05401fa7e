import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from reid.nn.bidirectional_mixer import BidirectionalMixer
from reid.nn.scan.backends import Backend

BACKWARD = {
    "conv1d.": "conv1d_b.",
    "x_proj.": "x_proj_b.",
    "dt_proj.": "dt_proj_b.",
    "A_log": "A_b_log",
    "D": "D_b",
}


def made(width: int = 8, **sizes: int) -> BidirectionalMixer:
    torch.manual_seed(0)
    mixer = BidirectionalMixer(width, depth=4, **sizes)
    for parameter in mixer.parameters():  # away from what both directions begin with
        torch.nn.init.normal_(parameter, std=0.4)
    return mixer


def other_direction(key: str) -> str:
    for ahead, back in BACKWARD.items():
        if key.startswith(back) or key == back:
            return key.replace(back, ahead, 1)
    for ahead, back in BACKWARD.items():
        if key.startswith(ahead):
            return key.replace(ahead, back, 1)
    return key


def tokens(length: int = 7, width: int = 8) -> Tensor:
    return torch.randn(2, length, width, generator=torch.Generator().manual_seed(1))


def slow_direction(mixer: BidirectionalMixer, tokens: Tensor) -> Tensor:
    """The forward direction of one sequence [L, D], written out, before the last layer."""
    x, z = mixer.in_proj(tokens).T.chunk(2)
    channels, length = x.shape
    taps, bias = mixer.conv1d.weight[:, 0], mixer.conv1d.bias
    assert bias is not None
    rank, states = mixer.dt_proj.weight.shape[1], mixer.A_log.shape[1]
    state, outputs = torch.zeros(channels, states), []
    for t in range(length):
        u = bias.clone()
        for back in range(taps.shape[1]):
            if t >= back:
                u = u + taps[:, -1 - back] * x[:, t - back]
        u = u * u.sigmoid()
        step, into, out_of = torch.split(mixer.x_proj(u), [rank, states, states])
        delta = F.softplus(mixer.dt_proj(step))
        decay = torch.exp(-delta[:, None] * mixer.A_log.exp())
        state = decay * state + (delta * u)[:, None] * into
        outputs.append((state @ out_of + mixer.D * u) * F.silu(z[:, t]))
    return torch.stack(outputs)


@torch.no_grad()
@pytest.mark.parametrize("length", [1, 2, 7])
def test_mixer_is_the_mean_of_two_directions(length: int) -> None:
    mixer, twin = made(), made()
    twin.load_state_dict({other_direction(k): v for k, v in mixer.state_dict().items()})
    given = tokens(length)
    ahead = torch.stack([slow_direction(mixer, x) for x in given])
    back = torch.stack([slow_direction(twin, x.flip(0)).flip(0) for x in given])
    expected = mixer.out_proj((ahead + back) / 2)
    torch.testing.assert_close(mixer(given), expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_directions_change_places_with_the_sequence() -> None:
    mixer, twin = made(state=3, expand=3, kernel=2), made(state=3, expand=3, kernel=2)
    twin.load_state_dict({other_direction(k): v for k, v in mixer.state_dict().items()})
    assert not torch.equal(mixer.A_log, twin.A_log)
    given = tokens()
    turned = mixer(given.flip(1)).flip(1)
    torch.testing.assert_close(turned, twin(given), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(turned, mixer(given), rtol=1e-2)


def test_every_token_reaches_every_other() -> None:
    mixer, given = made(), tokens().requires_grad_()
    for place in range(given.shape[1]):
        (grad,) = torch.autograd.grad(mixer(given)[:, place].sum(), given)
        assert bool(grad.ne(0).any(dim=2).all())


def test_fresh_weights_of_both_directions_are_alike() -> None:
    torch.manual_seed(0)
    mixer = BidirectionalMixer(32, depth=9)
    for layer in (mixer.dt_proj, mixer.dt_proj_b):
        steps = F.softplus(layer.bias.detach())
        assert 1e-4 <= float(steps.min()) < float(steps.max()) <= 0.1 + 1e-6
        assert float(layer.weight.detach().abs().max()) <= 2**-0.5
    for table in (mixer.A_log, mixer.A_b_log):
        torch.testing.assert_close(table.exp(), torch.arange(1.0, 17).expand(64, -1))
    assert mixer.D.eq(1).all()
    assert mixer.D_b.eq(1).all()
    bound = 64**-0.5 / 3  # that of a linear layer, over the root of the depth
    assert bound / 2 < float(mixer.out_proj.weight.detach().abs().max()) <= bound


def test_half_precision_stays_finite_and_near() -> None:
    mixer, given = made(), tokens().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        out = mixer(given)
    assert out.dtype == torch.bfloat16
    out.float().square().sum().backward()
    exact = mixer(given).detach()
    assert float((out.detach().float() - exact).norm() / exact.norm()) < 0.03
    for parameter in (given, *mixer.parameters()):
        assert parameter.grad is not None
        assert bool(parameter.grad.isfinite().all())
        assert parameter.grad.dtype == torch.float32


def gradients(mixer: BidirectionalMixer, given: Tensor) -> list[Tensor]:
    mixer.zero_grad()
    leaf = given.clone().requires_grad_()
    mixer(leaf).square().sum().backward()
    return [x.grad for x in (leaf, *mixer.parameters()) if x.grad is not None]


def test_computing_again_changes_no_bit_and_keeps_less() -> None:
    mixer, given, kept = made(), tokens(), []

    def pack(x: Tensor) -> Tensor:
        kept.append(x.numel())
        return x

    found, sizes = [], []
    for mixer.recompute in (False, True):
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
            mixer(given.clone().requires_grad_())
        sizes.append(sum(kept))
        kept.clear()
        found.append(gradients(mixer, given))
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
    assert sizes[1] < sizes[0] / 2


@pytest.mark.parametrize("backend", ["torch", "reference"])
def test_backends_agree(backend: Backend) -> None:
    mixer, given = made(), tokens()
    expected = gradients(mixer, given)
    mixer.scan = backend
    for got, truth in zip(gradients(mixer, given), expected, strict=True):
        torch.testing.assert_close(got, truth, rtol=1e-4, atol=1e-5)
