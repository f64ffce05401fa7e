import random

import torch

from reid.data.transforms import (
    augment,
    normalise,
    random_colour,
    random_crop,
    random_flip,
    seed_rectangles,
)
from reid.recipe import AugmentRecipe, ImageRecipe

IMAGES = torch.arange(4 * 3 * 6 * 4, dtype=torch.int32).view(4, 3, 6, 4).to(torch.uint8)


def test_normalise_by_hand() -> None:
    recipe = ImageRecipe(mean=(0.5, 0.0, 1.0), std=(0.5, 1.0, 2.0))
    pixels = torch.full((1, 3, 1, 1), 255, dtype=torch.uint8)
    assert normalise(pixels, recipe).flatten().tolist() == [1.0, 1.0, 0.0]


def test_flip_is_per_image() -> None:
    torch.manual_seed(0)
    flipped = random_flip(IMAGES, 0.5)
    kinds = [
        "kept" if torch.equal(a, b) else "mirrored" if torch.equal(a, b.flip(2)) else "wrong"
        for a, b in zip(flipped, IMAGES, strict=True)
    ]
    assert set(kinds) == {"kept", "mirrored"}
    assert torch.equal(random_flip(IMAGES, 0.0), IMAGES)
    assert torch.equal(random_flip(IMAGES, 1.0), IMAGES.flip(3))


def test_crop_is_a_window_of_the_padded_image() -> None:
    torch.manual_seed(0)
    pad = 2
    padded = torch.nn.functional.pad(IMAGES, (pad,) * 4)
    for image, source in zip(random_crop(IMAGES, pad), padded, strict=True):
        windows = [
            source[:, top : top + 6, left : left + 4]
            for top in range(2 * pad + 1)
            for left in range(2 * pad + 1)
        ]
        assert any(torch.equal(image, window) for window in windows)
    assert random_crop(IMAGES, 0) is IMAGES


def test_colour_changes_whole_channels_within_the_range() -> None:
    torch.manual_seed(0)
    grey = torch.full((8, 3, 2, 2), 100, dtype=torch.uint8)
    out = random_colour(grey, 0.2)
    assert out.amin() >= 80
    assert out.amax() <= 120
    assert (out.flatten(2).std(2) == 0).all()
    assert out.flatten().unique().numel() == 24


def test_erasing_puts_noise_into_one_rectangle_after_normalisation() -> None:
    torch.manual_seed(0)
    seed_rectangles(0)
    flat = torch.full((16, 3, 32, 16), 255, dtype=torch.uint8)
    out = augment(flat, ImageRecipe(height=32, width=16), AugmentRecipe(flip=0, pad=0, erase=1))
    for changed in (out != 1).any(1):
        rows, columns = changed.any(1), changed.any(0)
        assert 0.02 * 0.7 <= changed.float().mean() <= 0.34
        assert changed.sum() == rows.sum() * columns.sum()


def test_a_seed_decides_everything() -> None:
    def draw() -> torch.Tensor:
        torch.manual_seed(5)
        seed_rectangles(5)
        random.random()  # a thread of another library may draw at any moment
        return augment(IMAGES, ImageRecipe(), AugmentRecipe(pad=1, colour=0.1))

    assert torch.equal(draw(), draw())
