"""The two passes of a maximum matching that are no matrix product."""

import numpy as np
import numpy.typing as npt

from reid.compiled import compiled_reduction
from reid.retrieval.features import DoubleArray, FloatArray


@compiled_reduction
def take_maxima(tiles: FloatArray, prior: FloatArray, rows: FloatArray) -> None:
    """Weigh the similarities of some gallery images to a query; keep the largest of each cell.

    Args:
        tiles: Similarities [images, >= L, L], a row for each gallery cell.
        prior: Weights [gallery cell, query cell] [L, L].
        rows: Written: the largest for each query cell, then for each gallery cell
            [images, 2, >= L].
    """
    cells = len(prior)
    weighed = np.empty(cells, np.float32)
    bits = weighed.view(np.int32)
    for image in range(len(rows)):
        largest = rows[image, 0, :cells]
        largest[:] = -np.inf
        for cell in range(cells):
            _weigh_cell(tiles[image, cell], prior[cell], weighed, largest)
            rows[image, 1, cell] = _largest(weighed, bits)


@compiled_reduction
def _weigh_cell(
    similarities: FloatArray, weights: FloatArray, weighed: FloatArray, largest: FloatArray
) -> None:
    for cell in range(len(weighed)):
        x = similarities[cell] * weights[cell]
        weighed[cell] = x
        largest[cell] = max(largest[cell], x)


@compiled_reduction
def _largest(values: FloatArray, bits: npt.NDArray[np.int32]) -> np.float32:
    """Return the largest of some values, whose bits are given too.

    The compiler finds the largest of integers with vector instructions, and not that of
    floating-point numbers. Bits are ordered as numbers are, but for negative ones.
    """
    largest_bits = np.int32(-1)
    for place in range(len(bits)):
        largest_bits = max(largest_bits, bits[place])
    if largest_bits >= 0:
        found: np.float32 = np.int32(largest_bits).view(np.float32)
        return found
    largest: np.float32 = values[0]
    for value in values:
        largest = max(largest, value)
    return largest


@compiled_reduction
def weigh_positive(
    hidden: FloatArray, bias: FloatArray, weight: FloatArray, totals: DoubleArray
) -> None:
    """Add the last product of the head to `totals`: weight . relu(hidden + bias).

    Args:
        hidden: Outcome of the first product [rows, H].
        bias: Of the first product [H].
        weight: Of the second product [H].
        totals: Added to, two rows for each [rows / 2].
    """
    for pair in range(len(totals)):
        totals[pair] += _weigh_row(hidden[2 * pair], bias, weight)
        totals[pair] += _weigh_row(hidden[2 * pair + 1], bias, weight)


@compiled_reduction
def _weigh_row(hidden: FloatArray, bias: FloatArray, weight: FloatArray) -> float:
    total = 0.0
    for unit in range(len(weight)):
        x = hidden[unit] + bias[unit]
        total += np.float64(max(x, np.float32(0)) * weight[unit])
    return total
