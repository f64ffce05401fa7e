"""The scan in torch on any device: few large operations, and a gradient of its own.

Time is cut into chunks and channels into blocks, so that what one step needs stays in the cache.
In a chunk only the recurrence itself goes step by step. The forward pass keeps the state before
each chunk; the backward pass computes the others again.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from reid.nn.scan.inputs import ScanInputs, flip_groups

CHUNK = 16  # steps
STEP_SIZE = 8 * 96 * 16  # numbers of state that one step of a block holds on the CPU


class _Block(NamedTuple):
    """What a block of channels sees; tensors are in order of time.

    Attributes:
        u: [L, batch, e].
        step: As `u`.
        A: [e, N].
        B: [L, batch, N].
        C: As `B`.
    """

    u: Tensor
    step: Tensor
    A: Tensor
    B: Tensor
    C: Tensor


def scan(inputs: ScanInputs) -> tuple[Tensor, Tensor]:
    """Return y [G, batch, L, e] and the last states [G, batch, e, N]."""
    u, step, A, B, C, _ = inputs.run_forwards()
    u, step, B, C = (x.transpose(1, 2).contiguous() for x in (u, step, B, C))
    y, last = _Scan.apply(u, step, A, B, C)
    return flip_groups(y.transpose(1, 2), inputs.reverse), last


class _Scan(torch.autograd.Function):
    """u, step [G, L, batch, e], A [G, e, N], B, C [G, L, batch, N] to y and the last states."""

    @staticmethod
    def forward(ctx: Any, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        u, states = inputs[0], inputs[2].shape[2]
        groups, steps, batch, channels = u.shape
        keeps = any(ctx.needs_input_grad)
        chunks = -(-steps // CHUNK) if keeps else 0
        kept = u.new_empty(chunks, groups, batch, channels, states)
        y, last = torch.empty_like(u), u.new_empty(groups, batch, channels, states)
        for group, part in _parts(u, states):
            block = _block(inputs, group, part)
            state = u.new_zeros(batch, len(block.A), states)
            for number, time in enumerate(_chunks(steps)):
                if keeps:
                    kept[number, group, :, part] = state
                _, history = _advance(block, time, state)
                y[group, time, :, part] = torch.einsum("tben,tbn->tbe", history, block.C[time])
                state = history[-1]
            last[group, :, part] = state
        ctx.save_for_backward(*inputs, kept)
        ctx.mark_non_differentiable(last)
        return y, last

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor, _: Tensor) -> tuple[Tensor, ...]:
        *inputs, kept = ctx.saved_tensors
        gradients = tuple(torch.zeros_like(x) for x in inputs)
        for group, part in _parts(dy, kept.shape[-1]):
            block, into = _block(inputs, group, part), _block(gradients, group, part)
            before = kept[:, group, :, part]
            carried = torch.zeros_like(before[0])
            for number, time in reversed(list(enumerate(_chunks(dy.shape[1])))):
                carried = _retreat(
                    block, time, before[number], dy[group, time, :, part], carried, into
                )
        return gradients


def _parts(u: Tensor, states: int) -> Iterator[tuple[int, slice]]:
    """Yield groups and the channels of a block in them."""
    groups, _, batch, channels = u.shape
    width = channels if u.is_cuda else max(1, STEP_SIZE // (batch * states))
    for group in range(groups):
        for first in range(0, channels, width):
            yield group, slice(first, first + width)


def _block(tensors: Sequence[Tensor], group: int, part: slice) -> _Block:
    u, step, A, B, C = (x[group] for x in tensors)
    return _Block(u[..., part], step[..., part], A[part], B, C)


def _chunks(steps: int) -> list[slice]:
    return [slice(first, min(first + CHUNK, steps)) for first in range(0, steps, CHUNK)]


def _advance(block: _Block, time: slice, state: Tensor) -> tuple[Tensor, Tensor]:
    """Return decays and states of a chunk, [T, batch, e, N], from the state before it."""
    step = block.step[time]
    decay = torch.exp_(step[..., None] * block.A)
    history = (step * block.u[time])[..., None] * block.B[time, :, None]
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
    gradient = dy[..., None] * block.C[time, :, None]
    gradient[-1] += carried
    for i in range(len(gradient) - 2, -1, -1):
        gradient[i].addcmul_(decay[i + 1], gradient[i + 1])
    step, u = block.step[time], block.u[time]
    into.C[time] += torch.einsum("tben,tbe->tbn", history, dy)
    into.B[time] += torch.einsum("tben,tbe->tbn", gradient, step * u)
    given = torch.einsum("tben,tbn->tbe", gradient, block.B[time])
    gradient *= decay
    carried = gradient[0].clone()
    gradient[0] *= before
    gradient[1:] *= history[:-1]
    into.u[time] = given * step
    into.step[time] = given * u + torch.einsum("tben,en->tbe", gradient, block.A)
    into.A.add_(torch.einsum("tben,tbe->en", gradient, step))
    return carried
