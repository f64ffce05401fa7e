"""Number formats in which features are stored, and how they become float32 again.

NumPy has no bfloat16. It is stored as the upper half of the bits of a float32, as uint16.
"""

from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from reid.errors import EvaluationError

Precision = Literal["float32", "float16", "bfloat16"]
Stored = npt.NDArray[np.float32] | npt.NDArray[np.float16] | npt.NDArray[np.uint16]


def as_stored(features: npt.NDArray[np.generic]) -> Stored:
    """Return features in a format that can be kept, without a copy where possible.

    Args:
        features: Any floating type; float64 is rounded to float32. uint16 is taken for the bits of
            bfloat16.

    Raises:
        EvaluationError: Numbers of another type.
    """
    # asanyarray keeps a mapped file mapped
    matrix = np.asanyarray(features)
    if matrix.dtype in (np.float32, np.float16, np.uint16):
        return matrix
    if not np.issubdtype(matrix.dtype, np.floating):
        raise EvaluationError(
            f"features of type {matrix.dtype}",
            "float32, float16 or float64 (or uint16 with the bits of bfloat16)",
            "Convert the features to float32.",
        )
    return matrix.astype(np.float32)


def as_float32(stored: Stored) -> npt.NDArray[np.float32]:
    """Return stored features as float32; without a copy if they are."""
    if stored.dtype == np.uint16:
        return (stored.astype(np.uint32) << 16).view(np.float32)
    return stored.astype(np.float32, copy=False)


def rounded(features: npt.NDArray[np.float32], precision: Precision) -> Stored:
    """Round features to the nearest numbers of a format, halves to even.

    Raises:
        EvaluationError: No such format.
    """
    if precision not in get_args(Precision):
        raise EvaluationError(
            f"precision '{precision}'", f"one of {', '.join(get_args(Precision))}", "Correct it."
        )
    if precision == "bfloat16":
        bits = np.ascontiguousarray(features, np.float32).view(np.uint32)
        even = (bits >> 16) & 1
        upper = ((bits + 0x7FFF + even) >> 16).astype(np.uint16)
        # rounding up the bits of a NaN would make it infinite or negative zero
        return np.where(np.isnan(features), np.uint16(0x7FC0), upper)
    return features.astype(precision)


def name_of(stored: Stored) -> Precision:
    """Return the name of the format."""
    names: dict[str, Precision] = {"float32": "float32", "float16": "float16"}
    return names.get(str(stored.dtype), "bfloat16")
