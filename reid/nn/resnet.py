"""A plain residual network whose parts have names, with instance norms where asked for.

Keys of the state dict are those of torchvision, and of IBN-Net (arXiv 1807.09441) for its two kinds
of instance norms, so that files of either load as they are. Stages that nobody runs do not exist.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import BeforeValidator, model_validator
from torch import Tensor, nn

from reid.params import Params, nearest

Stage = Literal["layer1", "layer2", "layer3", "layer4"]
Ibn = Literal["none", "a", "b"]

_BEHIND = {"layer2", "layer3", "layer4", "fc"}  # parts that a shorter network does without
_EXPANSION = 4  # of a bottleneck block
_IBN_STAGES = {"none": 0, "a": 3, "b": 2}  # stages with instance norms, from the first


class ResNetSize(Params):
    """Sizes of a residual network.

    Attributes:
        stem: Channels of the first convolution.
        planes: Width of each stage; a bottleneck block puts out four times as many channels.
        blocks: Blocks of each stage.
        basic: Blocks of two 3x3 convolutions instead of bottlenecks.
    """

    stem: int = 64
    planes: tuple[int, ...] = (64, 128, 256, 512)
    blocks: tuple[int, ...]
    basic: bool = False

    @model_validator(mode="after")
    def _stages_agree(self) -> Self:
        if not 1 <= len(self.planes) == len(self.blocks) <= 4:
            raise ValueError("1 to 4 stages, with as many planes as blocks")
        if min(self.stem, *self.planes, *self.blocks) < 1:
            raise ValueError("sizes of at least 1")
        return self

    def channels(self, stage: int) -> int:
        """Return the channels that a stage, counted from 1, puts out."""
        return self.planes[stage - 1] * (1 if self.basic else _EXPANSION)


RESNETS: Mapping[str, ResNetSize] = {
    "resnet18": ResNetSize(blocks=(2, 2, 2, 2), basic=True),
    "resnet34": ResNetSize(blocks=(3, 4, 6, 3), basic=True),
    "resnet50": ResNetSize(blocks=(3, 4, 6, 3)),
    "resnet101": ResNetSize(blocks=(3, 4, 23, 3)),
    "resnet152": ResNetSize(blocks=(3, 8, 36, 3)),
}
"""The published sizes."""


def _size_of_name(value: Any) -> Any:
    if isinstance(value, str) and value not in RESNETS:
        raise ValueError(f"sizes or one of {', '.join(RESNETS)}{nearest(value, RESNETS)}")
    return RESNETS[value] if isinstance(value, str) else value


Backbone = Annotated[ResNetSize, BeforeValidator(_size_of_name)]
"""Sizes, or one of the names of `RESNETS`, in a recipe."""


class SplitNorm(nn.Module):
    """Instance norm for the first half of the channels, batch norm for the others."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = channels // 2
        self.IN = nn.InstanceNorm2d(self.first, affine=True)
        self.BN = nn.BatchNorm2d(channels - self.first)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise [B, C, h, w]."""
        first, rest = x[:, : self.first].contiguous(), x[:, self.first :].contiguous()
        return torch.cat([self.IN(first), self.BN(rest)], dim=1)


class Block(nn.Module):
    """A residual block; basic or bottleneck, with an instance norm of its own kind or none."""

    def __init__(self, inputs: int, planes: int, stride: int, basic: bool, ibn: Ibn) -> None:
        super().__init__()
        outputs = planes if basic else planes * _EXPANSION
        first: Callable[[int], nn.Module] = SplitNorm if ibn == "a" else nn.BatchNorm2d
        if basic:
            self.conv1 = _convolution(inputs, planes, 3, stride)
            self.conv2 = _convolution(planes, planes, 3)
        else:
            self.conv1 = _convolution(inputs, planes, 1)
            self.conv2 = _convolution(planes, planes, 3, stride)
        self.bn1, self.bn2 = first(planes), nn.BatchNorm2d(planes)
        self.conv3 = None if basic else _convolution(planes, outputs, 1)
        self.bn3 = None if basic else nn.BatchNorm2d(outputs)
        self.IN = nn.InstanceNorm2d(outputs, affine=True) if ibn == "b" else None
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride != 1 or inputs != outputs:
            shortcut = _convolution(inputs, outputs, 1, stride)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Turn [B, C, h, w] into [B, C', h', w']."""
        out: Tensor = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.conv3 is not None and self.bn3 is not None:
            out = self.bn3(self.conv3(self.relu(out)))
        out = out + (x if self.downsample is None else self.downsample(x))
        if self.IN is not None:
            out = self.IN(out)
        return self.relu(out)  # type: ignore[no-any-return]


def resnet_parts(size: ResNetSize, final: Stage, ibn: Ibn = "none") -> dict[str, nn.Module]:
    """Make the parts that lead to the output of a stage, under their names and in their order.

    Args:
        final: The last stage.
        ibn: `a`: the first norm of every block of the first three stages is split into an instance
            and a batch norm; `b`: an instance norm in the stem, and after the last block of the
            first two stages.

    Raises:
        ValueError: The network has no such stage.
    """
    count = int(final.removeprefix("layer"))
    if count > len(size.planes):
        raise ValueError(f"a final layer among the {len(size.planes)} of the backbone")
    stem_norm = nn.InstanceNorm2d(size.stem, affine=True) if ibn == "b" else None
    stem: dict[str, nn.Module] = {
        "conv1": _convolution(3, size.stem, 7, stride=2),
        "bn1": stem_norm or nn.BatchNorm2d(size.stem),
        "relu": nn.ReLU(inplace=True),
        "maxpool": nn.MaxPool2d(3, stride=2, padding=1),
    }
    return stem | resnet_stages(size, range(1, count + 1), ibn)


def resnet_stages(
    size: ResNetSize, stages: range, ibn: Ibn = "none", last_stride: int = 2
) -> dict[str, nn.Module]:
    """Make some of the stages, counted from 1, under their names; see `resnet_parts`.

    Args:
        last_stride: Stride of the last stage of the network, if it is among these.
    """
    parts: dict[str, nn.Module] = {}
    for stage in stages:
        inputs = size.stem if stage == 1 else size.channels(stage - 1)
        stride = 1 if stage == 1 else last_stride if stage == len(size.planes) else 2
        kind: Ibn = ibn if stage <= _IBN_STAGES[ibn] else "none"
        parts[f"layer{stage}"] = _stage(size, stage, inputs, stride, kind)
    return parts


class ResNet(nn.Module):
    """A residual network up to one of its stages.

    Attributes:
        channels: Of the map that it puts out.
    """

    def __init__(self, size: ResNetSize, final: Stage, ibn: Ibn = "none") -> None:
        super().__init__()
        for name, part in resnet_parts(size, final, ibn).items():
            self.add_module(name, part)
        self.channels = size.channels(int(final.removeprefix("layer")))

    def left_out(self, keys: Iterable[str]) -> tuple[str, ...]:
        """Return those keys of a whole network's weights that belong to parts nobody runs here."""
        parts = {name for name, _ in self.named_children()}
        return tuple(key for key in keys if key.split(".")[0] in _BEHIND - parts)

    def forward(self, images: Tensor) -> Tensor:
        """Turn [B, 3, H, W] into the map [B, channels, h, w] of the last stage."""
        for part in self.children():
            images = part(images)
        return images


def map_size(height: int, width: int, final: Stage) -> tuple[int, int]:
    """Return h and w of the map of a stage for an image of this size."""
    stride = 2 ** (int(final.removeprefix("layer")) + 1)
    return -(-height // stride), -(-width // stride)


def _stage(size: ResNetSize, stage: int, inputs: int, stride: int, ibn: Ibn) -> nn.Sequential:
    planes, blocks = size.planes[stage - 1], size.blocks[stage - 1]
    made = []
    for index in range(blocks):
        kind: Ibn = "none" if ibn == "b" and index < blocks - 1 else ibn
        made.append(Block(inputs, planes, stride if index == 0 else 1, size.basic, kind))
        inputs = size.channels(stage)
    return nn.Sequential(*made)


def _convolution(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    layer = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return layer
