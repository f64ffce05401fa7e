"""The scan in compiled code on the CPU, in float32, with a gradient of its own.

Beside its inputs and outputs it keeps the states of every sixteenth step for the backward pass and
computes the others again.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from reid.compiled import over_rows
from reid.nn.arrays import arrays
from reid.nn.scan.inputs import ScanInputs
from reid.nn.scan.native_kernels import BLOCK, CHUNK, LOG2_E, scan_backward, scan_forward


def scan(inputs: ScanInputs) -> tuple[Tensor, Tensor]:
    """Return y [G, batch, L, e] and the last states [G, batch, e, N]."""
    y, last = _Scan.apply(*(x.contiguous() for x in inputs[:5]), inputs.reverse)
    return y, last


class _Scan(torch.autograd.Function):
    """The fields of `ScanInputs` to y and the last states."""

    @staticmethod
    def forward(
        ctx: Any,
        u: Tensor,
        step: Tensor,
        A: Tensor,
        B: Tensor,
        C: Tensor,
        reverse: tuple[bool, ...],
    ) -> tuple[Tensor, Tensor]:
        (groups, batch, steps, channels), states = u.shape, A.shape[2]
        chunks = -(-steps // CHUNK) if any(ctx.needs_input_grad) else 0
        y, last = torch.empty_like(u), u.new_empty(groups, batch, states, channels)
        kept = u.new_empty(groups, batch, chunks, states, channels)
        rates = (A * LOG2_E).transpose(1, 2).contiguous()
        given = [*arrays(u, step, rates, B, C), np.array(reverse)]
        over_rows(scan_forward, _tasks(u), *given, *arrays(y, kept, last))
        ctx.save_for_backward(u, step, rates, B, C, kept)
        ctx.reverse = reverse
        last = last.transpose(2, 3)
        ctx.mark_non_differentiable(last)
        return y, last

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        u, step, rates, B, C, kept = ctx.saved_tensors
        du, dstep = torch.empty_like(u), torch.empty_like(u)
        dA = u.new_empty(*u.shape[:2], *rates.shape[1:])
        parts = u.new_empty(2, _blocks(u), *B.shape)
        given = [*arrays(u, step, rates, B, C), np.array(ctx.reverse)]
        written = arrays(du, dstep, dA, *parts)
        over_rows(scan_backward, _tasks(u), *given, *arrays(kept, dy.contiguous()), *written)
        dB, dC = parts.sum(dim=1)
        return du, dstep, dA.sum(dim=1).transpose(1, 2), dB, dC, None


def _blocks(u: Tensor) -> int:
    return -(-u.shape[3] // BLOCK)


def _tasks(u: Tensor) -> int:
    return u.shape[0] * u.shape[1] * _blocks(u)
