"""Changes of sharpness and tone of one crop, compiled; the formulas are those of `colour.py`.

A crop is changed in place. Pixels are float32 in 0 to 1, its channels are rows [3, pixels], and
every constant is float32 too, as others would widen the loops to double precision.
"""

import math

import numpy as np

from reid.compiled import compiled_reduction
from reid.data.colour_kernels import ALL, single
from reid.pretrain.colour import THRESHOLD
from reid.retrieval.features import FloatArray

_THRESHOLD = single(THRESHOLD)
_FAINT = 1e-6  # weights of the blur below this share of the largest one are left out
_PIECE = 512  # pixels that are blurred at once and stay in the nearest cache


@compiled_reduction
def solarise_crop(crop: FloatArray) -> None:
    """Invert the bright pixels."""
    for channel in range(3):
        for pixel in range(crop.shape[1]):
            x = crop[channel, pixel]
            crop[channel, pixel] = ALL - x if x >= _THRESHOLD else x


@compiled_reduction
def normalise_crop(crop: FloatArray, mean: FloatArray, std: FloatArray) -> None:
    """Subtract the mean and divide by the deviation of each channel."""
    for channel in range(3):
        centre, share = mean[channel], ALL / std[channel]
        for pixel in range(crop.shape[1]):
            crop[channel, pixel] = (crop[channel, pixel] - centre) * share


@compiled_reduction
def blur_crop(crop: FloatArray, sigma: float, reach: int, room: FloatArray) -> None:
    """Blur with a Gaussian; beyond its edges the crop goes on as its outermost pixels.

    A channel with its borders is one long row: its neighbours above and below are as far as the
    row is wide, and the pixels at both ends of a row, which mix with those of the next, are border.

    Args:
        crop: Changed [3, h, w].
        sigma: Width in pixels.
        reach: Pixels on each side.
        room: For two channels with their borders [2, (h + 2 reach)(w + 2 reach)].
    """
    height, width = crop.shape[1:]
    weights = _gaussian(sigma, reach)
    border = len(weights) - 1
    wide = width + 2 * border
    for channel in range(3):
        _copy_with_border(crop, channel, border, room[0])
        for axis in range(2):
            stride = 1 if axis else wide
            count = (height - axis) * wide + axis * width
            _blur_line(room[axis], weights, stride, count, room[1 - axis])
        for y in range(height):
            row = room[0, y * wide :]
            for x in range(width):
                crop[channel, y, x] = row[x]


@compiled_reduction
def _gaussian(sigma: float, reach: int) -> FloatArray:
    """Return the weights from the middle to one side, without those that count nothing."""
    weights = np.empty(reach + 1, np.float32)
    total, count = 0.0, 0
    for offset in range(reach + 1):
        weight = math.exp(-0.5 * (offset / sigma) ** 2)
        if weight >= _FAINT:
            weights[count] = weight
            count += 1
            total += weight if offset == 0 else 2 * weight
    for offset in range(count):
        weights[offset] /= total
    return weights[:count]


@compiled_reduction
def _copy_with_border(crop: FloatArray, channel: int, reach: int, room: FloatArray) -> None:
    height, width = crop.shape[1:]
    wide = width + 2 * reach
    for y in range(height + 2 * reach):
        source = crop[channel, min(max(y - reach, 0), height - 1)]
        row = room[y * wide + reach : (y + 1) * wide]
        for x in range(width):
            row[x] = source[x]
        left, right = source[0], source[width - 1]
        for x in range(reach):
            row[width + x] = right
            room[y * wide + x] = left


@compiled_reduction
def _blur_line(
    line: FloatArray, weights: FloatArray, stride: int, count: int, blurred: FloatArray
) -> None:
    """Mix `count` pixels with their neighbours, which lie `stride` apart, piece by piece."""
    reach = len(weights) - 1
    for first in range(0, count, _PIECE):
        piece = blurred[first : min(first + _PIECE, count)]
        middle = line[first + reach * stride :]
        weight = weights[0]
        for x in range(len(piece)):
            piece[x] = weight * middle[x]
        for offset in range(1, reach + 1):
            weight = weights[offset]
            before = line[first + (reach - offset) * stride :]
            after = line[first + (reach + offset) * stride :]
            for x in range(len(piece)):
                piece[x] += weight * (before[x] + after[x])
