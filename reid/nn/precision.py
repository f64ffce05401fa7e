"""Types of floating-point numbers."""

import torch
from torch import Tensor


def at_least_single(x: Tensor) -> Tensor:
    """Widen half precision to float32; float32 and float64 stay as they are."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
