"""Bidirectional Mamba mixer: two selective scans, one from each end (arXiv 2401.09417, 3.2)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reid.nn.scan.backends import Backend
from reid.nn.scan.selective import selective_scan

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
    ) -> None:
        super().__init__()
        inner, rank = expand * width, math.ceil(width / 16)
        self.sizes, self.scan = [rank, state, state], scan
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
        x, z = self.in_proj(tokens).transpose(1, 2).chunk(2, dim=1)
        # from here on E channels of the forward direction, then E of the backward one
        u = F.silu(torch.cat(self._convolve(x), dim=1))
        weights = torch.stack([self.x_proj.weight, self.x_proj_b.weight])
        both = u.reshape(len(u), 2, -1, u.shape[2])
        step, into, out_of = torch.split(weights @ both, self.sizes, dim=2)
        weights = torch.stack([self.dt_proj.weight, self.dt_proj_b.weight])
        out, _ = selective_scan(
            u,
            (weights @ step).flatten(1, 2),
            -torch.cat([self.A_log, self.A_b_log]).float().exp(),
            into,
            out_of,
            torch.cat([self.D, self.D_b]),
            delta_bias=torch.cat([self.dt_proj.bias, self.dt_proj_b.bias]),
            reverse=(False, True),
            backend=self.scan,
        )
        forward, backward = out.chunk(2, dim=1)
        mixed = (forward + backward) / 2 * F.silu(z)
        return self.out_proj(mixed.transpose(1, 2))  # type: ignore[no-any-return]

    def _convolve(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Convolve each channel of [B, E, L] with its past, and with its future."""
        ahead, back = self.conv1d, self.conv1d_b
        reach = ahead.weight.shape[2] - 1
        return (
            F.conv1d(F.pad(x, (reach, 0)), ahead.weight, ahead.bias, groups=ahead.groups),
            F.conv1d(F.pad(x, (0, reach)), back.weight.flip(2), back.bias, groups=back.groups),
        )


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
