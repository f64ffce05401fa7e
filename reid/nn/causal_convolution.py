"""Depthwise causal convolution of a sequence in both directions, with SiLU (arXiv 2401.09417)."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from reid.compiled import over_rows
from reid.nn.arrays import arrays
from reid.nn.convolution_kernels import convolve_backward, convolve_forward


def convolve_both_ways(x: Tensor, weight: Tensor, bias: Tensor, *, native: bool) -> Tensor:
    """Convolve each channel with its past and, by other weights, with its future; then SiLU.

    The second is the causal convolution of the flipped sequence, flipped back.

    Args:
        x: [B, L, E], possibly the first part of longer rows.
        weight: [2, E, K]; the last tap is for the step itself.
        bias: [2, E].
        native: Use compiled code, which is for the CPU and computes in float32.

    Returns:
        [2, B, L, E], in float32 if native.
    """
    if native:
        with torch.autocast("cpu", enabled=False):
            out: Tensor = _Convolution.apply(x.float(), weight.float(), bias.float())
        return out
    rows, reach = x.transpose(1, 2), weight.shape[2] - 1
    past = F.conv1d(F.pad(rows, (reach, 0)), weight[0, :, None], bias[0], groups=x.shape[2])
    turned = weight[1, :, None].flip(2)
    future = F.conv1d(F.pad(rows, (0, reach)), turned, bias[1], groups=x.shape[2])
    return F.silu(torch.stack([past, future])).transpose(2, 3)


class _Convolution(torch.autograd.Function):
    """x [B, L, E], weight [2, E, K], bias [2, E] to [2, B, L, E]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        taps, bias = weight.transpose(1, 2).contiguous(), bias.contiguous()
        out = x.new_empty(2, *x.shape)
        over_rows(convolve_forward, len(x), *_rows(x), *arrays(taps, bias, out))
        ctx.save_for_backward(x, taps, bias)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dout: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, taps, bias = ctx.saved_tensors
        dx = torch.zeros(x.shape)
        dweight, dbias = x.new_zeros(len(x), *taps.shape), x.new_zeros(len(x), *bias.shape)
        given = arrays(taps, bias, dout.contiguous(), dx, dweight, dbias)
        over_rows(convolve_backward, len(x), *_rows(x), *given)
        return dx, dweight.sum(dim=0).transpose(1, 2), dbias.sum(dim=0)


def _rows(x: Tensor) -> tuple[npt.NDArray[np.float32], int]:
    """Return the memory below [B, L, E] as [B, L · stride], and the stride of a step.

    The last step may end before its stride does, so nothing behind it is touched.
    """
    batch, steps, channels = x.shape
    if x.stride(2) != 1 or x.stride(0) != steps * x.stride(1):
        x = x.contiguous()
    stride = x.stride(1)
    length = (steps - 1) * stride + channels
    return x.detach().as_strided((batch, length), (x.stride(0), 1)).numpy(), stride
