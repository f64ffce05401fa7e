"""Tensors on the CPU as the arrays that compiled code takes."""

import numpy as np
import numpy.typing as npt
from torch import Tensor

Floats = npt.NDArray[np.float32]


def arrays(*tensors: Tensor) -> list[Floats]:
    """Return the memory of float32 tensors as arrays; nothing is copied."""
    return [tensor.detach().numpy() for tensor in tensors]
