"""The scan in compiled code on the CPU, in float32, with a gradient of its own.

Beside its inputs and outputs it keeps the states of every sixteenth step for the backward pass and
computes the others again.
"""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from reid.compiled import over_rows
from reid.nn.scan.inputs import ScanInputs
from reid.nn.scan.native_kernels import CHUNK, LOG2_E, blocks_of, scan_backward, scan_forward


def scan(inputs: ScanInputs) -> tuple[Tensor, Tensor]:
    """Return y [batch, E, L], whose memory has E last, and the last state [batch, E, N]."""
    u = inputs.u.transpose(1, 2).contiguous()
    delta = inputs.delta.transpose(1, 2).contiguous()
    step = F.softplus(delta + inputs.delta_bias)
    into, out_of = (x.permute(0, 3, 1, 2).contiguous() for x in (inputs.B, inputs.C))
    y, last = _Scan.apply(u, step, inputs.A, into, out_of, inputs.reverse)
    return torch.addcmul(y, u, inputs.D).transpose(1, 2), last


class _Scan(torch.autograd.Function):
    """u, step [batch, L, E], A [E, N], B, C [batch, L, G, N] to y [batch, L, E] and last state."""

    @staticmethod
    def forward(
        ctx: Any,
        u: Tensor,
        step: Tensor,
        A: Tensor,
        into: Tensor,
        out_of: Tensor,
        reverse: tuple[bool, ...],
    ) -> tuple[Tensor, Tensor]:
        batch, steps, channels = u.shape
        chunks = -(-steps // CHUNK) if any(ctx.needs_input_grad) else 0
        y, last = torch.empty_like(u), u.new_empty(batch, A.shape[1], channels)
        kept = u.new_empty(batch, chunks, A.shape[1], channels)
        given = [*_arrays(u, step, (A * LOG2_E).T.contiguous(), into, out_of), np.array(reverse)]
        tasks = batch * blocks_of(channels, len(reverse))
        over_rows(scan_forward, tasks, *given, *_arrays(y, kept, last))
        ctx.save_for_backward(u, step, A, into, out_of, kept)
        ctx.reverse = reverse
        last = last.transpose(1, 2)
        ctx.mark_non_differentiable(last)
        return y, last

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        u, step, A, into, out_of, kept = ctx.saved_tensors
        (batch, steps, channels), groups = u.shape, len(ctx.reverse)
        blocks = blocks_of(channels, groups)
        given = [
            *_arrays(u, step, (A * LOG2_E).T.contiguous(), into, out_of),
            np.array(ctx.reverse),
        ]
        du, dstep = torch.empty_like(u), torch.empty_like(u)
        dA = u.new_empty(batch, A.shape[1], channels)
        parts = u.new_empty(2, blocks, batch, steps, A.shape[1])
        written = _arrays(du, dstep, dA, *parts)
        over_rows(scan_backward, batch * blocks, *given, *_arrays(kept, dy.contiguous()), *written)
        # the blocks of a group are consecutive
        summed = parts.unflatten(1, (groups, -1)).sum(dim=2).permute(0, 2, 3, 1, 4)
        return du, dstep, dA.sum(dim=0).T, summed[0], summed[1], None


def _arrays(*tensors: Tensor) -> list[np.ndarray[Any, np.dtype[np.float32]]]:
    return [tensor.detach().numpy() for tensor in tensors]
