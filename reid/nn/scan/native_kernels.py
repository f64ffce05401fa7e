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
from reid.nn.arrays import Floats

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
    """Run tasks `start` to `stop` - 1; there is one for each group, image and block of channels.

    Args:
        u: [G, batch, L, e].
        step: As `u`, positive.
        rates: [G, N, e], negative.
        into: B [G, batch, L, N].
        out_of: C, as `into`.
        reverse: [G], groups whose time runs backwards.
        y: As `u`, written.
        kept: [G, batch, chunks, N, e] states before each chunk, written; no chunks, nothing kept.
        last: [G, batch, N, e] states after the last step, written.
    """
    steps, states = u.shape[2], rates.shape[1]
    state = np.empty((states, BLOCK), np.float32)
    given, made = np.empty((2, BLOCK), np.float32)
    for task in range(start, stop):
        group, image, number, width = place(task, u.shape)
        first = number * BLOCK
        block = slice(first, first + width)
        state[:] = _ZERO
        for index in range(steps):
            t = _time(index, steps, reverse[group])
            if kept.shape[2] > 0 and index % CHUNK == 0:
                kept[group, image, index // CHUNK, :, block] = state[:, :width]
            size = step[group, image, t, block]
            for w in range(width):
                given[w] = size[w] * u[group, image, t, first + w]
                made[w] = _ZERO
            for n in range(states):
                b, c = into[group, image, t, n], out_of[group, image, t, n]
                _emit(state[n], rates[group, n, block], size, given, b, c, made)
            y[group, image, t, block] = made[:width]
        last[group, image, :, block] = state[:, :width]


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
        dy: Gradient of `y`.
        du: As `u`, written.
        dstep: As `u`, written.
        drates: [G, batch, N, e] gradient of A, written; to be summed over the images.
        dinto: [blocks, G, batch, L, N], written; to be summed over the blocks.
        dout_of: As `dinto`.
    """
    steps, states = u.shape[2], rates.shape[1]
    carried = np.empty((states, 3 * BLOCK), np.float32)  # gradient of the state | of A | rates
    rows = np.empty((CHUNK, 5 * BLOCK), np.float32)  # step | step u | dy | dstep | d(step u)
    past = np.empty((CHUNK + 1, states, 2 * BLOCK), np.float32)  # decay into it | state
    for task in range(start, stop):
        group, image, number, width = place(task, u.shape)
        block = slice(number * BLOCK, number * BLOCK + width)
        carried[:, : 2 * BLOCK] = _ZERO
        carried[:, 2 * BLOCK : 2 * BLOCK + width] = rates[group, :, block]
        for chunk in range(kept.shape[2] - 1, -1, -1):
            length = min(CHUNK, steps - chunk * CHUNK)
            past[0, :, BLOCK : BLOCK + width] = kept[group, image, chunk, :, block]
            for i in range(length):
                at = (group, image, _time(chunk * CHUNK + i, steps, reverse[group]))
                _gather(rows[i], step[at][block], u[at][block], dy[at][block])
                for n in range(states):
                    _advance(width, carried[n], rows[i], past[i, n], past[i + 1, n], into[at][n])
            for i in range(length - 1, -1, -1):
                at = (group, image, _time(chunk * CHUNK + i, steps, reverse[group]))
                for n in range(states):
                    b, c = into[at][n], out_of[at][n]
                    db, dc = _retreat(width, carried[n], rows[i], past[i, n], past[i + 1, n], b, c)
                    dinto[number][at][n] = db
                    dout_of[number][at][n] = dc
                _scatter(rows[i], u[at][block], du[at][block], dstep[at][block])
        drates[group, image, :, block] = carried[:, BLOCK : BLOCK + width]


@compiled
def place(task: int, shape: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """Return group, image, number of the block of channels and its width, for u of this shape."""
    _, images, _, channels = shape
    rest, number = divmod(task, -(-channels // BLOCK))
    group, image = divmod(rest, images)
    return group, image, number, min(BLOCK, channels - number * BLOCK)


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
