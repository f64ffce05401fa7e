"""Overlapping patch embedding (arXiv 2102.04378, section 3.1)."""

import math

from torch import Tensor, nn

from reid.errors import DataError, ParamsError

Pair = tuple[int, int]


def patch_grid(image_size: Pair, patch: int, stride: Pair) -> Pair:
    """Return how many patches fit into (height, width); windows that stick out are left away.

    Raises:
        ParamsError: The image is smaller than one patch.
    """
    if min(image_size) < patch:
        raise ParamsError(
            f"image size {image_size[0]}x{image_size[1]} with patch {patch}",
            "an image of at least one patch",
            "Enlarge `image` or reduce `model.patch`.",
        )
    rows, columns = ((s - patch) // t + 1 for s, t in zip(image_size, stride, strict=True))
    return rows, columns


class PatchEmbedding(nn.Module):
    """Cut an image into square patches that may overlap and project each to a token.

    Attributes:
        grid: Patches per column and per row of the image.
    """

    def __init__(self, image_size: Pair, patch: int, stride: Pair, width: int) -> None:
        super().__init__()
        self.image_size = image_size
        self.grid = patch_grid(image_size, patch, stride)
        self.proj = nn.Conv2d(3, width, kernel_size=patch, stride=stride)
        nn.init.normal_(self.proj.weight, std=math.sqrt(2 / (patch * patch * width)))

    def forward(self, images: Tensor) -> Tensor:
        """Turn [B, 3, H, W] into [B, N, D], row by row of the grid.

        Raises:
            DataError: The images have another size than the network was built for.
        """
        require_size(images, self.image_size)
        return self.project(images)

    def project(self, images: Tensor) -> Tensor:
        """Do the same with images of any size."""
        return self.proj(images).flatten(2).transpose(1, 2)  # type: ignore[no-any-return]


def require_size(images: Tensor, size: Pair) -> None:
    """Refuse images [B, 3, H, W] that have another size than the network was built for."""
    if tuple(images.shape[-2:]) != size:
        raise DataError(
            f"images of {images.shape[-2]}x{images.shape[-1]} pixels",
            f"{size[0]}x{size[1]}, the size of the network",
            "Resize the images, or build the network with their size.",
        )
