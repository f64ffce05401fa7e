"""Changes of colour on the CPU, compiled; the formulas are those of `colour.py`.

Each image is worked out alone, in the cache of its core from the first change to the last, where
PyTorch's operations would walk through the memory of the whole batch at each change. It is changed
in place. Pixels are float32 in 0 to 1, the channels are rows [3, pixels], and every constant is
float32 too, as others would widen the loops to double precision.
"""

from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from reid.compiled import compiled_reduction, over_rows
from reid.data.colour import LUMA

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]


def single(number: float) -> float:
    """Return a constant in single precision, for the type checker still a float."""
    return cast(float, np.float32(number))


_RED, _GREEN, _BLUE = (single(weight) for weight in LUMA)
NONE, ALL = single(0), single(1)
_TWO, _FOUR, _SIX = single(2), single(4), single(6)
_CONTRAST, _SATURATION, _HUE = 1, 2, 3  # numbers of the changes; brightness is 0


def jitter_in_place(images: Tensor, gains: Tensor, turns: Tensor, order: Tensor) -> None:
    """Do to a batch on the CPU what `colour.jitter` does, in as many threads as PyTorch uses."""
    pixels = images.numpy().reshape(*images.shape[:2], -1)
    arrays = (pixels, gains.numpy(), turns.numpy(), order.numpy())
    over_rows(_jitter_images, len(images), *arrays, threads=torch.get_num_threads())


@compiled_reduction
def _jitter_images(
    start: int, stop: int, images: FloatArray, gains: FloatArray, turns: FloatArray, order: IntArray
) -> None:
    for image in range(start, stop):
        jitter_crop(images[image], gains[image], turns[image], order)


@compiled_reduction
def jitter_crop(crop: FloatArray, gains: FloatArray, turn: float, order: IntArray) -> None:
    """Change brightness, contrast, saturation and hue of one image; see `colour.jitter`."""
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
