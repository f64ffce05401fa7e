"""The scan in torch on any device: few large operations, and a gradient of its own.

Time is cut into chunks and channels into blocks, so that what one step needs stays in the cache.
In a chunk only the recurrence itself goes step by step. The forward pass keeps the state before
each chunk; the backward pass computes the others again.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
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
        kept = u.new_empty(-(-steps // CHUNK) if keeps else 0, groups, batch, channels, states)
        y, last = torch.empty_like(u), u.new_empty(groups, batch, channels, states)

        def work(place: _Place) -> None:
            _, group, part = place
            block = _block(inputs, group, part)
            state = u.new_zeros(batch, len(block.A), states)
            for number, time in enumerate(_chunks(steps)):
                if keeps:
                    kept[number, group, :, part] = state
                _, history = _advance(block, time, state)
                y[group, time, :, part] = torch.einsum("tben,tbn->tbe", history, block.C[time])
                state = history[-1]
            last[group, :, part] = state

        _for_each(work, _places(u, states), u.is_cuda)
        ctx.save_for_backward(*inputs, kept)
        ctx.mark_non_differentiable(last)
        return y, last

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor, _: Tensor) -> tuple[Tensor, ...]:
        *inputs, kept = ctx.saved_tensors
        du, dstep, dA = (torch.empty_like(x) for x in inputs[:3])
        places = _places(dy, kept.shape[-1])
        # a group's B and C serve several blocks, whose gradients are summed in order at the end
        blocks = len(places) // len(dy)
        dB, dC = (x.new_zeros(blocks, *x.shape) for x in inputs[3:])

        def work(place: _Place) -> None:
            number, group, part = place
            block = _block(inputs, group, part)
            into = _block((du, dstep, dA, dB[number], dC[number]), group, part)
            into.A.zero_()
            before = kept[:, group, :, part]
            carried = torch.zeros_like(before[0])
            for index, time in reversed(list(enumerate(_chunks(dy.shape[1])))):
                given = dy[group, time, :, part]
                carried = _retreat(block, time, before[index], given, carried, into)

        _for_each(work, places, dy.is_cuda)
        return du, dstep, dA, dB.sum(dim=0), dC.sum(dim=0)


class _Place(NamedTuple):
    """A block of channels: its number in the group, the group, and the channels."""

    number: int
    group: int
    part: slice


def _places(u: Tensor, states: int) -> list[_Place]:
    groups, _, batch, channels = u.shape
    width = channels if u.is_cuda else max(1, STEP_SIZE // (batch * states))
    return [
        _Place(number, group, slice(first, first + width))
        for group in range(groups)
        for number, first in enumerate(range(0, channels, width))
    ]


def _for_each(work: Callable[[_Place], None], places: list[_Place], is_cuda: bool) -> None:
    """Call `work` for each block; on the CPU as many at once as torch has threads, of one each.

    Operations that small are no faster on several threads, and where another process keeps a core
    busy each would wait for its slowest one. So the number of threads changes no bit either.
    """
    threads = torch.get_num_threads()
    if is_cuda or threads == 1 or len(places) == 1:
        for place in places:
            work(place)
        return
    try:
        with ThreadPoolExecutor(threads, initializer=_become_single) as pool:
            for _ in pool.map(work, places):
                pass
    finally:
        torch.set_num_threads(threads)


def _become_single() -> None:
    """Make this thread one that records no gradients and starts no others."""
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)


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
