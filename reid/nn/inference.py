"""Residual networks at test time, made faster on a CPU."""

from copy import deepcopy
from itertools import pairwise
from typing import TypeGuard, TypeVar

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

Network = TypeVar("Network", bound=nn.Module)

_NUMBERS = "123"  # of the convolutions of a block, as torchvision and timm name them


def for_inference(network: Network) -> Network:
    """Return a network that gives the same features faster on a CPU, up to rounding.

    In a copy every batch norm that follows a convolution becomes a part of it, and maps lie in
    memory pixel by pixel. A network without such a pair is returned as it is.

    Args:
        network: In evaluation mode; it stays as it is.
    """
    if not any(_is_norm(module) for module in network.modules()):
        return network
    copy = deepcopy(network)
    for module in list(copy.modules()):
        for convolution, norm in _pairs(module):
            _fold(module, convolution, norm)
    return copy.to(memory_format=torch.channels_last)


def _pairs(module: nn.Module) -> list[tuple[str, str]]:
    """Name the children of a module that may be a convolution and the norm right behind it."""
    if isinstance(module, nn.Sequential):
        return list(pairwise(name for name, _ in module.named_children()))
    return [(f"conv{number}", f"bn{number}") for number in _NUMBERS]


def _fold(module: nn.Module, convolution: str, norm: str) -> None:
    first, second = getattr(module, convolution, None), getattr(module, norm, None)
    if isinstance(first, nn.Conv2d) and _is_norm(second):
        setattr(module, convolution, fuse_conv_bn_eval(first, second))
        setattr(module, norm, nn.Identity())


def _is_norm(module: nn.Module | None) -> TypeGuard[nn.BatchNorm2d]:
    return type(module) is nn.BatchNorm2d  # timm's subclasses have an activation inside
