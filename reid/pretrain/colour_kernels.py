"""Changes of colour and sharpness of one crop, compiled; the formulas are those of `colour.py`.

A crop is changed in place. Pixels are float32 in 0 to 1, its channels are rows [3, pixels], and
every constant is float32 too, as others would widen the loops to double precision.
"""

import math
from typing import cast

import numpy as np

from reid.compiled import compiled_reduction
from reid.pretrain.colour import LUMA, THRESHOLD
from reid.retrieval.features import FloatArray, IntArray


def _single(number: float) -> float:
    """Return a constant in single precision, for the type checker still a float."""
    return cast(float, np.float32(number))


_RED, _GREEN, _BLUE = (_single(weight) for weight in LUMA)
NONE, ALL = _single(0), _single(1)
_TWO, _FOUR, _SIX = _single(2), _single(4), _single(6)
_THRESHOLD = _single(THRESHOLD)
_CONTRAST, _SATURATION, _HUE = 1, 2, 3  # numbers of the changes; brightness is 0
_FAINT = 1e-6  # weights of the blur below this share of the largest one are left out
_PIECE = 512  # pixels that are blurred at once and stay in the nearest cache


@compiled_reduction
def jitter_crop(crop: FloatArray, gains: FloatArray, turn: float, order: IntArray) -> None:
    """Change brightness, contrast, saturation and hue; see `colour.jitter`."""
    for change in order:
        if change == _HUE:
            _turn_hue(crop, turn)
        else:
            gain = gains[change]
            rest = (ALL - gain) * _mean_luma(crop) if change == _CONTRAST else NONE
            blend_crop(crop, gain, ALL - gain if change == _SATURATION else NONE, rest)


@compiled_reduction
def blend_crop(crop: FloatArray, gain: float, luma_gain: float, rest: float) -> None:
    """Mix each pixel with its luma and a constant; all changes but that of the hue are this."""
    for pixel in range(crop.shape[1]):
        red, green, blue = crop[0, pixel], crop[1, pixel], crop[2, pixel]
        other = luma_gain * _luma(red, green, blue) + rest
        crop[0, pixel] = _clamp(gain * red + other)
        crop[1, pixel] = _clamp(gain * green + other)
        crop[2, pixel] = _clamp(gain * blue + other)


@compiled_reduction
def _mean_luma(crop: FloatArray) -> float:
    total = NONE
    for pixel in range(crop.shape[1]):
        total += _luma(crop[0, pixel], crop[1, pixel], crop[2, pixel])
    return total / np.float32(crop.shape[1])  # type: ignore[return-value]  # single precision


@compiled_reduction
def _luma(red: float, green: float, blue: float) -> float:
    return _RED * red + _GREEN * green + _BLUE * blue


@compiled_reduction
def _clamp(x: float) -> float:
    return min(max(x, NONE), ALL)


@compiled_reduction
def _turn_hue(crop: FloatArray, turn: float) -> None:
    """Turn the hue, in sixths of the circle; without branches, so that many turn at a time."""
    first = np.float32((6 * turn + 5) % 6)  # red, green and blue are lowest at these turns
    second = np.float32((6 * turn + 3) % 6)
    third = np.float32((6 * turn + 1) % 6)
    for pixel in range(crop.shape[1]):
        red, green, blue = crop[0, pixel], crop[1, pixel], crop[2, pixel]
        value = max(red, max(green, blue))
        chroma = value - min(red, min(green, blue))
        rise = blue - red if value == green else red - green
        base = _TWO if value == green else _FOUR
        rise = green - blue if value == red else rise
        base = NONE if value == red else base
        hue = base + rise / (chroma if chroma > NONE else ALL)
        crop[0, pixel] = value - chroma * _dip(hue + first)
        crop[1, pixel] = value - chroma * _dip(hue + second)
        crop[2, pixel] = value - chroma * _dip(hue + third)


@compiled_reduction
def _dip(k: float) -> float:
    """Return how far a channel lies below the largest one, for `k` from -1 to 11 sixths."""
    k = k + _SIX if k < NONE else k
    k = k - _SIX if k >= _SIX else k
    return _clamp(min(k, _FOUR - k))


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
