"""Causal convolutions of both directions with SiLU, and their gradient, compiled for the CPU.

A task is one image. Channels lie side by side in memory and are computed many at a time.
"""

from typing import cast

import numpy as np

from reid.compiled import compiled_elementwise
from reid.nn.arrays import Floats
from reid.nn.scan.native_kernels import LOG2_E, exp2

_ZERO, _ONE = cast(float, np.float32(0)), cast(float, np.float32(1))
_SHARPNESS = cast(float, np.float32(-LOG2_E))


@compiled_elementwise
def convolve_forward(
    start: int, stop: int, x: Floats, stride: int, weight: Floats, bias: Floats, out: Floats
) -> None:
    """Convolve images `start` to `stop` - 1 with their past and with their future.

    Args:
        x: [batch, L · stride]; the E channels of a step come first, then what is not looked at.
        stride: Numbers from one step to the next.
        weight: [2, K, E]; the last tap is for the step itself.
        bias: [2, E].
        out: [2, batch, L, E], written.
    """
    for image in range(start, stop):
        for direction in range(2):
            for t in range(out.shape[2]):
                row = out[direction, image, t]
                _sum_taps(x[image], stride, weight[direction], bias[direction], direction, t, row)
                for e in range(len(row)):
                    row[e] *= _sigmoid(row[e])


@compiled_elementwise
def convolve_backward(
    start: int,
    stop: int,
    x: Floats,
    stride: int,
    weight: Floats,
    bias: Floats,
    dout: Floats,
    dx: Floats,
    dweight: Floats,
    dbias: Floats,
) -> None:
    """Take the gradient of images `start` to `stop` - 1 back.

    Args:
        dout: [2, batch, L, E] gradient of `out`.
        dx: [batch, L, E], zero before; added to.
        dweight: [batch, 2, K, E], zero before; to be summed over the images.
        dbias: [batch, 2, E], likewise.
    """
    row = np.empty(dout.shape[3], np.float32)
    taps, steps = weight.shape[1], dout.shape[2]
    for image in range(start, stop):
        for direction in range(2):
            for t in range(steps):
                _sum_taps(x[image], stride, weight[direction], bias[direction], direction, t, row)
                _through_silu(row, dout[direction, image, t], dbias[image, direction])
                for tap in range(taps):
                    there = _reached(t, taps - 1 - tap, direction)
                    if 0 <= there < steps:
                        seen = x[image, there * stride : there * stride + len(row)]
                        _add_product(dx[image, there], weight[direction, tap], row)
                        _add_product(dweight[image, direction, tap], seen, row)


@compiled_elementwise
def _reached(t: int, distance: int, direction: int) -> int:
    return t - distance if direction == 0 else t + distance


@compiled_elementwise
def _sum_taps(
    x: Floats, stride: int, weight: Floats, bias: Floats, direction: int, t: int, row: Floats
) -> None:
    """Write the convolution of one step into `row`, before SiLU."""
    for e in range(len(row)):
        row[e] = bias[e]
    for tap in range(len(weight)):
        first = _reached(t, len(weight) - 1 - tap, direction) * stride
        if 0 <= first < len(x):
            _add_product(row, weight[tap], x[first : first + len(row)])


@compiled_elementwise
def _add_product(total: Floats, one: Floats, other: Floats) -> None:
    """Add the product of two rows."""
    for e in range(len(total)):
        total[e] += one[e] * other[e]


@compiled_elementwise
def _through_silu(row: Floats, dout: Floats, dbias: Floats) -> None:
    """Turn the values before SiLU into their gradients."""
    for e in range(len(row)):
        x = row[e]
        share = _sigmoid(x)
        gradient = dout[e] * share * (_ONE + x * (_ONE - share))
        row[e] = gradient
        dbias[e] += gradient


@compiled_elementwise
def _sigmoid(x: float) -> float:
    small = exp2(abs(x) * _SHARPNESS)
    return (_ONE if x >= _ZERO else small) / (_ONE + small)
