"""Random changes to whole batches of training images, without a loop over images.

Source: TransReID (arXiv 2102.04378), its training transforms: flip, zero padding and random crop,
normalisation, then random erasing with noise. Rotation, jitter of the colours and the white square
are those of TransMatcher (arXiv 2105.14432). One channel or the luma in place of three is from
methods for visible and infrared images, such as IDKL (arXiv 2403.11708); differs from its code in
that they come before normalisation and leave an infrared image as it is. The colour gain is ours,
off in published recipes.
"""

import random
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from reid.data.colour import jitter
from reid.data.colour_kernels import jitter_in_place
from reid.recipe import AugmentRecipe, ImageRecipe, JitterRecipe

if TYPE_CHECKING:
    from timm.data.random_erasing import RandomErasing

_rectangles = random.Random()
_ERASERS = {"noise": "pixel", "mean": "const"}

_RED, _GREEN = 0.2989, 0.587  # of the luma; blue has the rest, and equal channels stay equal


def seed_rectangles(seed: int) -> None:
    """Seed the draws of erased rectangles; all other draws are torch's."""
    _rectangles.seed(seed)


def normalise(images: Tensor, recipe: ImageRecipe) -> Tensor:
    """Scale [B, 3, H, W] pixels, uint8 or float in 0..255, to normalised float32."""
    mean = torch.tensor(recipe.mean, device=images.device).view(1, 3, 1, 1)
    std = torch.tensor(recipe.std, device=images.device).view(1, 3, 1, 1)
    return (images.float() / 255 - mean) / std


def augment(images: Tensor, image: ImageRecipe, recipe: AugmentRecipe) -> Tensor:
    """Flip, crop, rotate, colour, grey, occlude, normalise and erase a batch.

    Draws come from torch's global generator and that of `seed_rectangles`: the training loop seeds
    both at the start of every epoch. A rotation, jitter, channel, luma or occlusion that is off
    takes none.

    Rectangles are drawn as torchvision draws them. Its defaults differ from ours, timm's, in the
    largest area, 0.33 and not a third, and in the largest ratio, 3.3 and not 10/3.

    Args:
        images: [B, 3, H, W] uint8.

    Returns:
        [B, 3, H, W] float32.
    """
    images = random_crop(random_flip(images, recipe.flip), recipe.pad, recipe.fill)
    images = random_colour(random_rotation(images, recipe.rotate), recipe.colour)
    images = random_channel(random_jitter(images, recipe.jitter), recipe.channel)
    images = random_occlusion(random_grey(images, recipe.grey), recipe.occlude)
    pixels = normalise(images, image)
    erased: Tensor = _eraser(recipe, str(images.device))(pixels)
    return erased


def random_flip(images: Tensor, probability: float) -> Tensor:
    """Mirror each image of a [B, C, H, W] batch with the given probability."""
    flipped = torch.rand(len(images), device=images.device) < probability
    return torch.where(flipped.view(-1, 1, 1, 1), images.flip(3), images)


def random_crop(images: Tensor, pad: int, fill: int = 0) -> Tensor:
    """Shift each image by up to `pad` pixels in both directions; what comes in is `fill`."""
    if not pad:
        return images
    B, _, H, W = images.shape
    device = images.device
    padded = torch.nn.functional.pad(images, (pad, pad, pad, pad), value=fill)
    top, left = torch.randint(0, 2 * pad + 1, (2, B, 1), device=device)
    rows = (top + torch.arange(H, device=device)).view(B, 1, H, 1)
    columns = (left + torch.arange(W, device=device)).view(B, 1, 1, W)
    numbers = torch.arange(B, device=device).view(B, 1, 1, 1)
    channels = torch.arange(images.shape[1], device=device).view(1, -1, 1, 1)
    return padded[numbers, channels, rows, columns]


def random_rotation(images: Tensor, largest: float) -> Tensor:
    """Rotate each image by up to `largest` degrees in both directions, filling with black."""
    if not largest:
        return images
    angles = largest * (2 * torch.rand(len(images), device=images.device) - 1)
    return rotate(images, angles)


def rotate(images: Tensor, angles: Tensor) -> Tensor:
    """Rotate [B, C, H, W] about the middle by [B] degrees counterclockwise, to the nearest pixel.

    What comes from outside the image is black.
    """
    B, C, H, W = images.shape
    device, angles = images.device, torch.deg2rad(angles).view(B, 1, 1)
    y = torch.arange(H, device=device).view(1, H, 1) - (H - 1) / 2
    x = torch.arange(W, device=device).view(1, 1, W) - (W - 1) / 2
    sine, cosine = torch.sin(angles), torch.cos(angles)
    row = (sine * x + cosine * y + (H - 1) / 2).round_().to(torch.int32)
    column = (cosine * x - sine * y + (W - 1) / 2).round_().to(torch.int32)
    inside = (row >= 0) & (row < H) & (column >= 0) & (column < W)
    source = (row.clamp_(0, H - 1) * W + column.clamp_(0, W - 1)).view(B, 1, H * W)
    found = images.reshape(B, C, H * W).gather(2, source.long().expand(B, C, H * W))
    return found.view(B, C, H, W) * inside.unsqueeze(1)


def random_jitter(images: Tensor, recipe: JitterRecipe | None) -> Tensor:
    """Change brightness, contrast, saturation and hue of each image; uint8 in, uint8 range out.

    Differs from the published code: the order of the four changes is drawn once per batch, and
    nothing is rounded between them.
    """
    if recipe is None:
        return images
    B, device = len(images), images.device
    ranges = (recipe.brightness, recipe.contrast, recipe.saturation)
    lowest, highest = torch.tensor(ranges, device=device).unbind(1)
    gains = lowest + (highest - lowest) * torch.rand(B, 3, device=device)
    turns = recipe.hue * (2 * torch.rand(B, device=device) - 1)
    pixels, order = (images.float() / 255).contiguous(), torch.randperm(4)
    if device.type == "cpu":
        jitter_in_place(pixels, gains, turns, order)
    else:
        pixels = jitter(pixels, gains, turns, order)
    return pixels.mul_(255)


def random_channel(images: Tensor, probability: float) -> Tensor:
    """Put one channel, drawn for each image, in place of all three, with the given probability."""
    if not probability:
        return images
    B, device = len(images), images.device
    changed = torch.rand(B, device=device) < probability
    channels = torch.randint(0, 3, (B,), device=device)
    chosen = images[torch.arange(B, device=device), channels].unsqueeze(1)
    return torch.where(changed.view(-1, 1, 1, 1), chosen, images)


def random_grey(images: Tensor, probability: float) -> Tensor:
    """Put the luma in place of each image's three channels, with the given probability.

    An image of whole numbers gets whole numbers again; one with equal channels stays as it is.
    """
    if not probability:
        return images
    changed = torch.rand(len(images), device=images.device) < probability
    red, green, blue = images.float().chunk(3, dim=1)
    luma = blue + _RED * (red - blue) + _GREEN * (green - blue)
    if images.dtype == torch.uint8:
        luma = luma.round_().to(torch.uint8)
    return torch.where(changed.view(-1, 1, 1, 1), luma, images)


def random_occlusion(images: Tensor, largest: float) -> Tensor:
    """Paint a white square into each image of the range 0 to 255.

    Its side is drawn from 1 to less than the whole number below `largest` of the image's shorter
    side, at least 1; it never touches the last row and column, as in the published code.
    """
    if not largest:
        return images
    B, _, H, W = images.shape
    device = images.device
    share = torch.rand(3, B, 1, device=device)
    side = 1 + (share[0] * max(int(min(H, W) * largest) - 1, 1)).floor()
    top, left = (share[1] * (H - side)).floor(), (share[2] * (W - side)).floor()
    y, x = torch.arange(H, device=device), torch.arange(W, device=device)
    rows = ((y >= top) & (y < top + side)).view(B, 1, H, 1)
    columns = ((x >= left) & (x < left + side)).view(B, 1, 1, W)
    return images.masked_fill(rows & columns, 255)


def random_colour(images: Tensor, largest: float) -> Tensor:
    """Multiply each channel of each image by 1 ± `largest`; uint8 in, uint8 range out."""
    if not largest:
        return images
    gain = 1 + largest * (2 * torch.rand(len(images), 3, 1, 1, device=images.device) - 1)
    return (images.float() * gain).clamp(0, 255)


def _eraser(recipe: AugmentRecipe, device: str) -> "RandomErasing":
    """Make timm's transform, which draws from `seed_rectangles`."""
    from timm.data import random_erasing  # takes seconds, and only training needs it

    # timm draws rectangles from the module `random`. It gets a generator of its own in its place,
    # for threads of other libraries draw from the global one at any moment, and would change the
    # training.
    random_erasing.random = _rectangles
    return random_erasing.RandomErasing(
        recipe.erase,
        *recipe.erase_area,
        *recipe.erase_ratio,
        mode=_ERASERS[recipe.erase_with],
        device=device,
    )
