"""Random changes to whole batches of training images, without a loop over images.

Source: TransReID (arXiv 2102.04378), its training transforms: flip, zero padding and random crop,
normalisation, then random erasing with noise. The colour gain is ours, off in published recipes.
"""

import random

import torch
from timm.data import random_erasing
from torch import Tensor

from reid.recipe import AugmentRecipe, ImageRecipe

# timm draws rectangles from the module `random`. It gets a generator of its own in its place, for
# threads of other libraries draw from the global one at any moment, and would change the training.
_rectangles = random.Random()
random_erasing.random = _rectangles


def seed_rectangles(seed: int) -> None:
    """Seed the draws of erased rectangles; all other draws are torch's."""
    _rectangles.seed(seed)


def normalise(images: Tensor, recipe: ImageRecipe) -> Tensor:
    """Scale [B, 3, H, W] pixels, uint8 or float in 0..255, to normalised float32."""
    mean = torch.tensor(recipe.mean, device=images.device).view(1, 3, 1, 1)
    std = torch.tensor(recipe.std, device=images.device).view(1, 3, 1, 1)
    return (images.float() / 255 - mean) / std


def augment(images: Tensor, image: ImageRecipe, recipe: AugmentRecipe) -> Tensor:
    """Flip, crop, colour, normalise and erase a batch.

    Draws come from torch's global generator and that of `seed_rectangles`: the training loop seeds
    both at the start of every epoch.

    Args:
        images: [B, 3, H, W] uint8.

    Returns:
        [B, 3, H, W] float32.
    """
    images = random_crop(random_flip(images, recipe.flip), recipe.pad)
    pixels = normalise(random_colour(images, recipe.colour), image)
    erase = random_erasing.RandomErasing(recipe.erase, mode="pixel", device=str(images.device))
    erased: Tensor = erase(pixels)
    return erased


def random_flip(images: Tensor, probability: float) -> Tensor:
    """Mirror each image of a [B, C, H, W] batch with the given probability."""
    flipped = torch.rand(len(images), device=images.device) < probability
    return torch.where(flipped.view(-1, 1, 1, 1), images.flip(3), images)


def random_crop(images: Tensor, pad: int) -> Tensor:
    """Shift each image by up to `pad` pixels in both directions, filling with black."""
    if not pad:
        return images
    B, _, H, W = images.shape
    device = images.device
    padded = torch.nn.functional.pad(images, (pad, pad, pad, pad))
    top, left = torch.randint(0, 2 * pad + 1, (2, B, 1), device=device)
    rows = (top + torch.arange(H, device=device)).view(B, 1, H, 1)
    columns = (left + torch.arange(W, device=device)).view(B, 1, 1, W)
    numbers = torch.arange(B, device=device).view(B, 1, 1, 1)
    channels = torch.arange(images.shape[1], device=device).view(1, -1, 1, 1)
    return padded[numbers, channels, rows, columns]


def random_colour(images: Tensor, largest: float) -> Tensor:
    """Multiply each channel of each image by 1 ± `largest`; uint8 in, uint8 range out."""
    if not largest:
        return images
    gain = 1 + largest * (2 * torch.rand(len(images), 3, 1, 1, device=images.device) - 1)
    return (images.float() * gain).clamp(0, 255)
