"""Bidirectional Mamba mixer: two selective scans, one from each end (arXiv 2401.09417, 3.2)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from reid.nn.causal_convolution import convolve_both_ways
from reid.nn.precision import at_least_single
from reid.nn.scan.backends import Backend, choose_backend
from reid.nn.scan.selective import grouped_scan

STEP_RANGE = (1e-3, 1e-1)  # of the step sizes that fresh weights begin with
LEAST_STEP = 1e-4


class BidirectionalMixer(nn.Module):
    """Mix the tokens of a sequence: y = W (forward + backward) / 2 · silu(z).

    The names of the parameters are the published ones; those of the backward direction carry a b.

    Differs from the reference code: nothing is flipped, as the causal convolution of the flipped
    sequence is an anti-causal one of the sequence itself; the gate, which both directions share, is
    applied once to their sum; fresh weights of both directions are drawn alike.

    Args:
        width: Length D of a token.
        state: Numbers N that each channel remembers.
        expand: Channels E of the scan relative to D.
        kernel: Taps of the convolution before each scan.
        depth: Blocks of the whole network; fresh output weights shrink with its root.
        scan: See `choose_backend`.
        recompute: Keep nothing between the two large layers for the backward pass, but compute it
            again there.
    """

    def __init__(
        self,
        width: int,
        state: int = 16,
        expand: int = 2,
        kernel: int = 4,
        *,
        depth: int,
        scan: Backend = "auto",
        recompute: bool = False,
    ) -> None:
        super().__init__()
        inner, rank = expand * width, math.ceil(width / 16)
        self.sizes, self.scan, self.recompute = [rank, state, state], scan, recompute
        self.in_proj = nn.Linear(width, 2 * inner, bias=False)
        self.conv1d = nn.Conv1d(inner, inner, kernel, groups=inner)
        self.x_proj = nn.Linear(inner, rank + 2 * state, bias=False)
        self.dt_proj = _step_layer(rank, inner)
        self.A_log = nn.Parameter(_log_decay(inner, state))
        self.D = nn.Parameter(torch.ones(inner))
        self.conv1d_b = nn.Conv1d(inner, inner, kernel, groups=inner)
        self.x_proj_b = nn.Linear(inner, rank + 2 * state, bias=False)
        self.dt_proj_b = _step_layer(rank, inner)
        self.A_b_log = nn.Parameter(_log_decay(inner, state))
        self.D_b = nn.Parameter(torch.ones(inner))
        self.out_proj = nn.Linear(inner, width, bias=False)
        with torch.no_grad():
            self.out_proj.weight /= math.sqrt(depth)

    def forward(self, tokens: Tensor) -> Tensor:
        """Mix [B, L, D]."""
        entered = self.in_proj(tokens)
        if self.recompute and torch.is_grad_enabled():
            mixed = checkpoint(self._mix, entered, use_reentrant=False, preserve_rng_state=False)
        else:
            mixed = self._mix(entered)
        return self.out_proj(mixed)  # type: ignore[no-any-return]

    def _mix(self, entered: Tensor) -> Tensor:
        """Turn [B, L, 2 E], the scans' input and their gate, into [B, L, E]."""
        x, z = entered.chunk(2, dim=2)
        backend = choose_backend(self.scan, x.device.type, at_least_single(x).dtype).name
        # from here on the first dimension is the direction
        u = convolve_both_ways(
            x,
            torch.stack([self.conv1d.weight, self.conv1d_b.weight])[:, :, 0],
            torch.stack([_bias(self.conv1d), _bias(self.conv1d_b)]),
            native=backend == "native",
        )
        seen = torch.stack([self.x_proj.weight, self.x_proj_b.weight])
        rank, B, C = torch.split(_project(u, seen), self.sizes, dim=3)
        sized = _project(rank, torch.stack([self.dt_proj.weight, self.dt_proj_b.weight]))
        bias = torch.stack([self.dt_proj.bias, self.dt_proj_b.bias])[:, None, None]
        y, _ = grouped_scan(
            u,
            F.softplus(at_least_single(sized) + bias),
            -at_least_single(torch.stack([self.A_log, self.A_b_log])).exp(),
            B,
            C,
            reverse=(False, True),
            backend=self.scan,
        )
        y = torch.addcmul(y, u, torch.stack([self.D, self.D_b])[:, None, None])
        return (y[0] + y[1]) / 2 * F.silu(z)


def _bias(layer: nn.Conv1d) -> Tensor:
    if layer.bias is None:
        raise TypeError("the convolutions of a mixer have biases")
    return layer.bias


def _project(x: Tensor, weight: Tensor) -> Tensor:
    """Map [2, B, L, i] with a matrix [2, o, i] for each direction to [2, B, L, o]."""
    flat = torch.bmm(x.flatten(1, 2), weight.transpose(1, 2))
    return flat.view(*x.shape[:3], -1)


def _log_decay(channels: int, state: int) -> Tensor:
    """Return log(1 … N) for each channel, so that fresh states forget at N different rates."""
    return torch.arange(1, state + 1).float().log().repeat(channels, 1)


def _step_layer(rank: int, channels: int) -> nn.Linear:
    """Return the layer of the step sizes; softplus of its fresh bias is log-uniform."""
    layer = nn.Linear(rank, channels)
    nn.init.uniform_(layer.weight, -(rank**-0.5), rank**-0.5)
    low, high = (math.log(bound) for bound in STEP_RANGE)
    step = torch.empty(channels).uniform_(low, high).exp().clamp_min(LEAST_STEP)
    with torch.no_grad():
        layer.bias.copy_(step + torch.log(-torch.expm1(-step)))  # the inverse of softplus
    return layer
