"""Cutting a box out of one image and resizing it, compiled.

The bicubic kernel is the product of one along each axis: rows are mixed first, many columns at a
time, then the columns of the mixed row. It samples where `resize_boxes` does.
"""

import math

import numpy as np
import numpy.typing as npt

from reid.compiled import compiled_reduction
from reid.retrieval.features import FloatArray

ByteArray = npt.NDArray[np.uint8]
PlaceArray = npt.NDArray[np.uint64]  # unsigned, as no place is counted from the end

SLOPE = -0.75  # of the bicubic kernel, as in PyTorch
WHITE = 255.0
_ZERO, _ONE = np.float32(0), np.float32(1)


@compiled_reduction
def resize_box(
    image: ByteArray, box: FloatArray, flip: bool, crop: FloatArray, lines: FloatArray
) -> None:
    """Fill a crop with a box of the image, within the range of 0 to 1.

    Args:
        image: [3, H, W].
        box: [4] top, left, height, width in pixels.
        flip: Whether left and right are swapped.
        crop: Written [3, h, w].
        lines: Room for one row of all channels [3, W].
    """
    rows, columns = crop.shape[1:]
    left, wide = (box[1] + box[3], -box[3]) if flip else (box[1], box[3])
    down, row_weights = _place_taps(box[0], box[2], rows, image.shape[1], 1 / WHITE)
    across, weights = _place_taps(left, wide, columns, image.shape[2], 1.0)
    first = min(across[0, 0], across[0, columns - 1])
    last = max(across[3, 0], across[3, columns - 1])
    for row in range(rows):
        _mix_rows(image, down, row_weights, row, first, last, lines)
        _mix_columns(lines, across, weights, row, crop)


@compiled_reduction
def _place_taps(
    start: float, extent: float, count: int, size: int, scale: float
) -> tuple[PlaceArray, FloatArray]:
    """Return the pixels that each of `count` samples along an axis mixes, and their weights.

    Beyond its edges the image goes on as its outermost pixels.

    Args:
        start: Where the box begins, in pixels.
        extent: Its size; negative for samples that run backwards.
        count: Samples n.
        size: Pixels of the image along the axis.
        scale: Sum of the weights of a sample.

    Returns:
        [4, n] and [4, n].
    """
    places = np.empty((4, count), np.uint64)
    weights = np.empty((4, count), np.float32)
    for sample in range(count):
        # the middle of pixel 0 is at 0.5
        position = start + extent * (sample + 0.5) / count - 0.5
        whole = math.floor(position)
        for tap in range(4):
            pixel = whole + tap - 1
            places[tap, sample] = min(max(pixel, 0), size - 1)
            weights[tap, sample] = scale * _bicubic(abs(position - pixel))
    return places, weights


@compiled_reduction
def _bicubic(x: float) -> float:
    """Return the weight of a pixel at distance `x` in 0 to 2."""
    if x <= 1:
        return ((SLOPE + 2) * x - (SLOPE + 3)) * x * x + 1
    return SLOPE * (((x - 5) * x + 8) * x - 4)


@compiled_reduction
def _mix_rows(
    image: ByteArray,
    places: PlaceArray,
    weights: FloatArray,
    row: int,
    first: int,
    last: int,
    lines: FloatArray,
) -> None:
    """Mix four rows of each channel into the lines [3, W], in columns `first` to `last`."""
    a, b, c, d = places[0, row], places[1, row], places[2, row], places[3, row]
    p, q, r, s = weights[0, row], weights[1, row], weights[2, row], weights[3, row]
    for channel in range(3):
        for x in range(first, last + np.uint64(1)):
            mixed = p * np.float32(image[channel, a, x]) + q * np.float32(image[channel, b, x])
            mixed += r * np.float32(image[channel, c, x]) + s * np.float32(image[channel, d, x])
            lines[channel, x] = mixed


@compiled_reduction
def _mix_columns(
    lines: FloatArray, places: PlaceArray, weights: FloatArray, row: int, crop: FloatArray
) -> None:
    """Mix four columns of the lines [3, W] for each pixel of a row of the crop."""
    for x in range(crop.shape[2]):
        a, b, c, d = places[0, x], places[1, x], places[2, x], places[3, x]
        p, q, r, s = weights[0, x], weights[1, x], weights[2, x], weights[3, x]
        for channel in range(3):
            mixed = p * lines[channel, a] + q * lines[channel, b]
            mixed += r * lines[channel, c] + s * lines[channel, d]
            crop[channel, row, x] = min(max(mixed, _ZERO), _ONE)  # bicubic filters overshoot
