"""Feature rows as the engine reads them: float32 at the moment of use, whatever lies on disk."""

import copy

import numpy as np
import numpy.typing as npt

from reid.compiled import compiled, compiled_reduction, over_rows
from reid.errors import EvaluationError
from reid.retrieval.precision import Stored, as_float32, as_stored

FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

# rows that are converted at once, so that a mapped file never lies in memory whole
_CHUNK = 4096


class FeatureRows:
    """Rows of features, scaled to length 1 or as they are.

    Args:
        stored: [M, D] float32, float16 or bits of bfloat16 (see `precision`); may be mapped from a
            file. float64 is rounded to float32.
        what: Whose features, for messages.
        unit: Scale each row to length 1; a row of zeros stays.
        rows: Which rows of `stored`, in which order [N]; by default all.
        hold: Keep the rows as float32 in memory. Otherwise they are converted at each use, which
            takes less memory and more time, and gives the same numbers.

    Attributes:
        lengths: Squared length of each row as it is given out, in float64 [N].

    Raises:
        EvaluationError: Not a matrix of floating-point numbers, or some value is not finite.
    """

    def __init__(
        self,
        stored: npt.NDArray[np.generic],
        what: str = "image",
        unit: bool = False,
        rows: IntArray | None = None,
        hold: bool = True,
    ) -> None:
        self._stored = _checked(stored, what)
        self._index: IntArray = np.arange(len(stored)) if rows is None else rows
        self._factors: FloatArray | None = None
        self.held: FloatArray | None = None
        self.lengths = self._measured()
        faulty = int((~np.isfinite(self.lengths)).sum())
        if faulty:
            raise EvaluationError(
                f"{what} features hold NaN or infinity in {faulty} of {len(self)} rows",
                "finite numbers",
                "Embed again with a model that gives finite features.",
            )
        if unit:
            lengths = np.sqrt(self.lengths)
            self._factors = (1 / np.where(lengths == 0, 1.0, lengths)).astype(np.float32)
        if hold:
            self.held = self._copied()
        if unit:
            self.lengths = self._measured()

    def __len__(self) -> int:
        return len(self._index)

    @property
    def width(self) -> int:
        """Numbers in a row, D."""
        return int(self._stored.shape[1])

    def take(self, rows: slice) -> FloatArray:
        """Return consecutive rows [n, D]; a view if they are held."""
        if self.held is not None:
            return self.held[rows]
        taken = as_float32(self._stored[_as_slice(self._index[rows])])
        if self._factors is None:
            return np.ascontiguousarray(taken)
        return taken * self._factors[rows, None]

    def subset(self, rows: IntArray) -> "FeatureRows":
        """Return some of the rows in another order; held rows are not copied if consecutive."""
        chosen = _as_slice(rows)
        part = copy.copy(self)
        part._index = self._index[chosen]
        part.lengths = self.lengths[chosen]
        part.held = None if self.held is None else self.held[chosen]
        part._factors = None if self._factors is None else self._factors[chosen]
        return part

    def as_given(self) -> "FeatureRows":
        """Return the same rows not scaled, converted at each use."""
        return FeatureRows(self._stored, rows=self._index, hold=False)

    def _copied(self) -> FloatArray:
        """Return all rows as they are given out; those that lie in memory as they are."""
        if self._factors is None and not isinstance(self._stored, np.memmap):
            stored = self._stored[_as_slice(self._index)]
            if stored.dtype == np.float32:
                return np.ascontiguousarray(stored, np.float32)
        held = np.empty((len(self), self.width), np.float32)
        for start in range(0, len(self), _CHUNK):
            held[start : start + _CHUNK] = self.take(slice(start, start + _CHUNK))
        return held

    def _measured(self) -> DoubleArray:
        lengths = np.empty(len(self), np.float64)
        for start in range(0, len(self), _CHUNK):
            rows = self.take(slice(start, start + _CHUNK))
            over_rows(_square_rows, len(rows), rows, lengths[start : start + _CHUNK])
        return lengths


def _checked(stored: npt.NDArray[np.generic], what: str) -> Stored:
    matrix = as_stored(stored)
    if matrix.ndim != 2:
        raise EvaluationError(
            f"{what} features have shape {matrix.shape}",
            "a matrix of one row per image",
            "Flatten the features of each image.",
        )
    return matrix


def _as_slice(rows: IntArray) -> slice | IntArray:
    """Return consecutive rows as a slice, which copies nothing."""
    if len(rows) and np.array_equal(rows, np.arange(rows[0], rows[0] + len(rows))):
        return slice(int(rows[0]), int(rows[0]) + len(rows))
    return rows


@compiled_reduction
def _square(row: FloatArray) -> float:
    total = 0.0
    for place in range(len(row)):
        total += np.float64(row[place]) * np.float64(row[place])
    return total


@compiled
def _square_rows(start: int, stop: int, rows: FloatArray, lengths: DoubleArray) -> None:
    for row in range(start, stop):
        lengths[row] = _square(rows[row])
