"""The scan in torch on any device: few large operations, and a gradient of its own.

Time is cut into chunks and channels into blocks, so that what one step needs stays in the cache.
In a chunk only the recurrence itself goes step by step. The forward pass keeps the state before
each chunk; the backward pass computes the others again.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from reid.nn.scan.inputs import ScanInputs, flip_groups, run_forwards

CHUNK = 16  # steps
STEP_SIZE = 8 * 96 * 16  # numbers of state that one step of a block holds on the CPU


class _Block(NamedTuple):
    """What a block of channels sees; tensors are in order of time.

    Attributes:
        u: [L, batch, e].
        step: As `u`.
        A: [e, N].
        into: B as [L, batch, N].
        out_of: C as `into`.
    """

    u: Tensor
    step: Tensor
    A: Tensor
    into: Tensor
    out_of: Tensor


def scan(inputs: ScanInputs) -> tuple[Tensor, Tensor]:
    """Return y [batch, E, L] and the last state [batch, E, N]."""
    turn, inputs = inputs.reverse, run_forwards(inputs)
    u, delta = (x.permute(2, 0, 1).contiguous() for x in (inputs.u, inputs.delta))
    step = F.softplus(delta + inputs.delta_bias)
    into, out_of = (x.permute(3, 0, 1, 2).contiguous() for x in (inputs.B, inputs.C))
    y, last = _Scan.apply(u, step, inputs.A, into, out_of)
    y = torch.addcmul(y, u, inputs.D).permute(1, 2, 0)
    return flip_groups(y, turn), last


class _Scan(torch.autograd.Function):
    """u, step [L, batch, E], A [E, N], B, C [L, batch, G, N] to y [L, batch, E] and last state."""

    @staticmethod
    def forward(ctx: Any, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        u, A = inputs[0], inputs[2]
        (steps, batch, channels), states = u.shape, A.shape[1]
        keeps = any(ctx.needs_input_grad)
        kept = u.new_empty(-(-steps // CHUNK) if keeps else 0, batch, channels, states)
        y, last = torch.empty_like(u), u.new_empty(batch, channels, states)
        for part, block, _ in _blocks(inputs):
            state = u.new_zeros(batch, len(block.A), states)
            for number, time in enumerate(_chunks(steps)):
                if keeps:
                    kept[number, :, part] = state
                _, history = _advance(block, time, state)
                y[time, :, part] = torch.einsum("tben,tbn->tbe", history, block.out_of[time])
                state = history[-1]
            last[:, part] = state
        ctx.save_for_backward(*inputs, kept)
        ctx.mark_non_differentiable(last)
        return y, last

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor, _: Tensor) -> tuple[Tensor, ...]:
        *inputs, kept = ctx.saved_tensors
        gradients = tuple(torch.zeros_like(x) for x in inputs)
        for part, block, group in _blocks(inputs):
            du, dstep, dA, dinto, dout_of = gradients
            into = _Block(
                du[..., part], dstep[..., part], dA[part], dinto[:, :, group], dout_of[:, :, group]
            )
            carried = torch.zeros_like(kept[0, :, part])
            for number, time in reversed(list(enumerate(_chunks(len(dy))))):
                carried = _retreat(
                    block, time, kept[number, :, part], dy[time, :, part], carried, into
                )
        return gradients


def _chunks(steps: int) -> list[slice]:
    return [slice(first, min(first + CHUNK, steps)) for first in range(0, steps, CHUNK)]


def _blocks(inputs: tuple[Tensor, ...] | list[Tensor]) -> Iterator[tuple[slice, _Block, int]]:
    """Yield channels, what belongs to them, and their group."""
    u, step, A, into, out_of = inputs
    groups = into.shape[2]
    each = u.shape[2] // groups
    width = each if u.is_cuda else max(1, STEP_SIZE // (u.shape[1] * A.shape[1]))
    for group in range(groups):
        for first in range(group * each, (group + 1) * each, width):
            part = slice(first, min(first + width, (group + 1) * each))
            yield (
                part,
                _Block(
                    u[..., part], step[..., part], A[part], into[:, :, group], out_of[:, :, group]
                ),
                group,
            )


def _advance(block: _Block, time: slice, state: Tensor) -> tuple[Tensor, Tensor]:
    """Return decays and states of a chunk, [T, batch, e, N], from the state before it."""
    step = block.step[time]
    decay = torch.exp_(step[..., None] * block.A)
    history = (step * block.u[time])[..., None] * block.into[time, :, None]
    for i in range(len(history)):
        state = history[i].addcmul_(decay[i], state)
    return decay, history


def _retreat(
    block: _Block, time: slice, before: Tensor, dy: Tensor, carried: Tensor, into: _Block
) -> Tensor:
    """Take the gradient back through a chunk.

    Args:
        before: [batch, e, N] state before the chunk.
        dy: [T, batch, e] gradient of its output.
        carried: [batch, e, N] gradient that reaches its last state from later chunks.
        into: Gradients of the block, written, and of A, B and C added to.

    Returns:
        The gradient of `before`.
    """
    decay, history = _advance(block, time, before)
    gradient = dy[..., None] * block.out_of[time, :, None]
    gradient[-1] += carried
    for i in range(len(gradient) - 2, -1, -1):
        gradient[i].addcmul_(decay[i + 1], gradient[i + 1])
    step, u = block.step[time], block.u[time]
    into.out_of[time] += torch.einsum("tben,tbe->tbn", history, dy)
    into.into[time] += torch.einsum("tben,tbe->tbn", gradient, step * u)
    given = torch.einsum("tben,tbn->tbe", gradient, block.into[time])
    gradient *= decay
    carried = gradient[0].clone()
    gradient[0] *= before
    gradient[1:] *= history[:-1]
    into.u[time] = given * step
    into.step[time] = given * u + torch.einsum("tben,en->tbe", gradient, block.A)
    into.A.add_(torch.einsum("tben,tbe->en", gradient, step))
    return carried
