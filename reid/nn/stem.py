"""Patches behind a small convolution network, the "ICS" stem (arXiv 2111.12084, section 3.3)."""

import math

import torch
from torch import Tensor, nn

from reid.errors import ParamsError
from reid.nn.patch import Pair, require_size

CHANNELS = 64
STEM_STEP = 2  # of the first convolution
STEM_PATCH = 16  # pixels of the image per token and direction; nothing else is published


class HalfInstanceNorm(nn.Module):
    """Instance norm on the first half of the channels, batch norm on the others (IBN-a).

    The attributes have the names that published weights use.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.instances = channels // 2
        self.IN = nn.InstanceNorm2d(self.instances, affine=True)
        self.BN = nn.BatchNorm2d(channels - self.instances)

    def forward(self, maps: Tensor) -> Tensor:
        """Normalise [B, C, H, W]."""
        return torch.cat(
            [self.IN(maps[:, : self.instances]), self.BN(maps[:, self.instances :])], dim=1
        )


class ConvolutionStem(nn.Module):
    """Three convolutions at half resolution, then patches of 8 pixels without overlap.

    Attributes:
        grid: Patches per column and per row of the image.

    Raises:
        ParamsError: The image is not a whole number of patches.
    """

    def __init__(self, image_size: Pair, width: int) -> None:
        super().__init__()
        if image_size[0] % STEM_PATCH or image_size[1] % STEM_PATCH:
            raise ParamsError(
                f"image size {image_size[0]}x{image_size[1]} with model.stem",
                f"multiples of {STEM_PATCH}",
                "Change `image`, or switch `model.stem` off.",
            )
        self.image_size = image_size
        self.grid = (image_size[0] // STEM_PATCH, image_size[1] // STEM_PATCH)
        self.conv = nn.Sequential(
            nn.Conv2d(3, CHANNELS, 7, stride=STEM_STEP, padding=3, bias=False),
            HalfInstanceNorm(CHANNELS),
            nn.ReLU(inplace=True),
            nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False),
            HalfInstanceNorm(CHANNELS),
            nn.ReLU(inplace=True),
            nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False),
            nn.BatchNorm2d(CHANNELS),
            nn.ReLU(inplace=True),
        )
        side = STEM_PATCH // STEM_STEP
        self.proj = nn.Conv2d(CHANNELS, width, side, stride=side)
        nn.init.normal_(self.proj.weight, std=math.sqrt(2 / (side * side * width)))

    def forward(self, images: Tensor) -> Tensor:
        """Turn [B, 3, H, W] into [B, N, D], row by row of the grid.

        Raises:
            DataError: The images have another size than the network was built for.
        """
        require_size(images, self.image_size)
        patches = self.proj(self.conv(images))
        return patches.flatten(2).transpose(1, 2)  # type: ignore[no-any-return]
