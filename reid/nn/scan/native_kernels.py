"""The scan and its gradient as loops over time, compiled for the CPU.

A task is one image and one block of channels. Channels lie side by side in memory, so that one
step of one state is the same arithmetic on many neighbours: vector instructions do it. All numbers
are float32; exponents are to base 2, so rates are `A` times log2(e).

Rows of scratch memory that a loop over channels reads and writes are parts of one array, `BLOCK`
apart: only so does the compiler see that they do not overlap.
"""

from typing import cast

import numpy as np
import numpy.typing as npt

from reid.compiled import compiled, compiled_elementwise, compiled_reduction

Floats = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]

BLOCK = 64  # channels of a task; fixed, so that rows of scratch memory lie a known distance apart
CHUNK = 16  # steps between two states that the forward pass keeps for the backward pass

LOG2_E = 1.4426950408889634
_LN_2 = cast(float, np.float32(0.6931471805599453))
_ZERO = cast(float, np.float32(0))
_LOWEST = cast(float, np.float32(-126))  # exponent of the smallest normal number
_ROUND = cast(float, np.float32(1.5 * 2**23))  # adding it leaves no digits after the point
# 2^f for f from -1/2 to 1/2, fitted at Chebyshev nodes; with rounding it errs by 8e-8 at most
_POWERS = np.polynomial.Chebyshev.interpolate(np.exp2, 6, domain=[-0.5, 0.5]).convert(
    kind=np.polynomial.Polynomial
)
_P0, _P1, _P2, _P3, _P4, _P5, _P6 = (np.float32(x) for x in _POWERS.coef)


@compiled_elementwise
def exp2(x: float) -> float:
    """Return 2^x for x of at most 0, to single precision; below 2^-126 it is that."""
    x = max(x, _LOWEST)
    rounded = np.float32(x + _ROUND)
    f = x - (rounded - _ROUND)
    power = np.float32(_P0 + f * (_P1 + f * (_P2 + f * (_P3 + f * (_P4 + f * (_P5 + f * _P6))))))
    exponent = rounded.view(np.int32) << np.int32(23)
    bits = np.int32(power.view(np.int32) + exponent)
    return bits.view(np.float32)  # type: ignore[return-value]


@compiled_elementwise
def scan_forward(
    start: int,
    stop: int,
    u: Floats,
    step: Floats,
    rates: Floats,
    into: Floats,
    out_of: Floats,
    reverse: Flags,
    y: Floats,
    kept: Floats,
    last: Floats,
) -> None:
    """Run tasks `start` to `stop` - 1 of `count_tasks`.

    Args:
        u: [batch, L, E].
        step: As `u`, positive.
        rates: [N, E], negative.
        into: B as [batch, L, G, N].
        out_of: C as `into`.
        reverse: [G], groups whose time runs backwards.
        y: As `u`; written, without the skip.
        kept: [batch, chunks, N, E] states before each chunk, written; none if there are no chunks.
        last: [batch, N, E] states after the last step, written.
    """
    steps, states = u.shape[1], len(rates)
    state = np.empty((states, BLOCK), np.float32)
    given, made = np.empty((2, BLOCK), np.float32)
    for task in range(start, stop):
        image, group, first, width = place(task, u.shape[2], len(reverse))
        block = slice(first, first + width)
        state[:] = _ZERO
        for index in range(steps):
            t = steps - 1 - index if reverse[group] else index
            if kept.shape[1] > 0 and index % CHUNK == 0:
                kept[image, index // CHUNK, :, block] = state[:, :width]
            size = step[image, t, block]
            for w in range(width):
                given[w] = size[w] * u[image, t, first + w]
                made[w] = _ZERO
            for n in range(states):
                b, c = into[image, t, group, n], out_of[image, t, group, n]
                _emit(state[n], rates[n, block], size, given, b, c, made)
            y[image, t, block] = made[:width]
        last[image, :, block] = state[:, :width]


@compiled_elementwise
def scan_backward(
    start: int,
    stop: int,
    u: Floats,
    step: Floats,
    rates: Floats,
    into: Floats,
    out_of: Floats,
    reverse: Flags,
    kept: Floats,
    dy: Floats,
    du: Floats,
    dstep: Floats,
    drates: Floats,
    dinto: Floats,
    dout_of: Floats,
) -> None:
    """Run tasks `start` to `stop` - 1 backwards, from the states that `scan_forward` kept.

    Args:
        dy: [batch, L, E] gradient of `y`.
        du: As `u`, written.
        dstep: As `u`, written.
        drates: [batch, N, E] gradient of A, written; to be summed over the images.
        dinto: [blocks, batch, L, N], written; to be summed over the blocks of each group.
        dout_of: As `dinto`.
    """
    steps, states = u.shape[1], len(rates)
    carried = np.empty((states, 3 * BLOCK), np.float32)  # gradient of the state | of A | rates
    rows = np.empty((CHUNK, 5 * BLOCK), np.float32)  # step | step u | dy | dstep | d(step u)
    past = np.empty((CHUNK + 1, states, 2 * BLOCK), np.float32)  # decay into it | state
    for task in range(start, stop):
        image, group, first, width = place(task, u.shape[2], len(reverse))
        block = slice(first, first + width)
        number = task % blocks_of(u.shape[2], len(reverse))
        carried[:, : 2 * BLOCK] = _ZERO
        carried[:, 2 * BLOCK : 2 * BLOCK + width] = rates[:, block]
        for chunk in range(kept.shape[1] - 1, -1, -1):
            length = min(CHUNK, steps - chunk * CHUNK)
            past[0, :, BLOCK : BLOCK + width] = kept[image, chunk, :, block]
            for i in range(length):
                t = _time(chunk * CHUNK + i, steps, reverse[group])
                _gather(rows[i], step[image, t, block], u[image, t, block], dy[image, t, block])
                for n in range(states):
                    b = into[image, t, group, n]
                    _advance(width, carried[n], rows[i], past[i, n], past[i + 1, n], b)
            for i in range(length - 1, -1, -1):
                t = _time(chunk * CHUNK + i, steps, reverse[group])
                for n in range(states):
                    b, c = into[image, t, group, n], out_of[image, t, group, n]
                    db, dc = _retreat(width, carried[n], rows[i], past[i, n], past[i + 1, n], b, c)
                    dinto[number, image, t, n] = db
                    dout_of[number, image, t, n] = dc
                _scatter(rows[i], u[image, t, block], du[image, t, block], dstep[image, t, block])
        drates[image, :, block] = carried[:, BLOCK : BLOCK + width]


@compiled
def blocks_of(channels: int, groups: int) -> int:
    """Return the number of blocks of channels, none of which lies in two groups."""
    return -(-channels // groups // BLOCK) * groups


@compiled
def place(task: int, channels: int, groups: int) -> tuple[int, int, int, int]:
    """Return image, group, first channel and number of channels of a task."""
    each = channels // groups
    image, block = divmod(task, blocks_of(channels, groups))
    group, part = divmod(block, -(-each // BLOCK))
    return image, group, group * each + part * BLOCK, min(BLOCK, each - part * BLOCK)


@compiled
def _time(index: int, steps: int, reverse: bool) -> int:
    return steps - 1 - index if reverse else index


@compiled_elementwise
def _emit(
    state: Floats, rates: Floats, size: Floats, given: Floats, b: float, c: float, made: Floats
) -> None:
    """Advance one state of every channel by one step, and add what it contributes to the output."""
    for w in range(len(size)):
        x = exp2(size[w] * rates[w]) * state[w] + given[w] * b
        state[w] = x
        made[w] += c * x


@compiled_elementwise
def _gather(row: Floats, size: Floats, u: Floats, dy: Floats) -> None:
    for w in range(len(size)):
        row[w] = size[w]
        row[BLOCK + w] = size[w] * u[w]
        row[2 * BLOCK + w] = dy[w]
        row[3 * BLOCK + w] = _ZERO
        row[4 * BLOCK + w] = _ZERO


@compiled_elementwise
def _advance(
    width: int, carried: Floats, row: Floats, before: Floats, after: Floats, b: float
) -> None:
    """Repeat one step of the forward pass, keeping decay and state."""
    for w in range(width):
        decay = exp2(row[w] * carried[2 * BLOCK + w])
        after[w] = decay
        after[BLOCK + w] = decay * before[BLOCK + w] + row[BLOCK + w] * b


@compiled_reduction
def _retreat(
    width: int, carried: Floats, row: Floats, before: Floats, after: Floats, b: float, c: float
) -> tuple[float, float]:
    """Take the gradient back by one step; return what it adds to those of B and C."""
    db, dc = _ZERO, _ZERO
    for w in range(width):
        dy = row[2 * BLOCK + w]
        gradient = carried[w] + dy * c
        db += gradient * row[BLOCK + w]
        dc += dy * after[BLOCK + w]
        row[4 * BLOCK + w] += gradient * b
        gradient *= after[w]
        carried[w] = gradient
        exponent = gradient * before[BLOCK + w]
        row[3 * BLOCK + w] += exponent * carried[2 * BLOCK + w]
        carried[BLOCK + w] += exponent * row[w]
    return db, dc


@compiled_elementwise
def _scatter(row: Floats, u: Floats, du: Floats, dstep: Floats) -> None:
    for w in range(len(u)):
        du[w] = row[4 * BLOCK + w] * row[w]
        dstep[w] = row[3 * BLOCK + w] * _LN_2 + row[4 * BLOCK + w] * u[w]
