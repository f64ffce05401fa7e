import random

import pytest
import torch
from torchvision.transforms import functional

from reid.data.colour import jitter
from reid.data.colour_kernels import jitter_in_place
from reid.data.transforms import (
    augment,
    normalise,
    random_channel,
    random_colour,
    random_crop,
    random_flip,
    random_grey,
    random_jitter,
    random_occlusion,
    random_rotation,
    rotate,
    seed_rectangles,
)
from reid.errors import ParamsError
from reid.params import parse_params
from reid.recipe import AugmentRecipe, ImageRecipe, JitterRecipe

JITTER = JitterRecipe(brightness=(0.5, 2), contrast=(0.5, 2), saturation=(0.5, 2), hue=0.1)
OFF = AugmentRecipe(flip=0, pad=0, erase=0)
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


@pytest.mark.parametrize("fill", [0, 127])
def test_crop_is_a_window_of_the_padded_image(fill: int) -> None:
    torch.manual_seed(0)
    pad = 2
    padded = torch.nn.functional.pad(IMAGES, (pad,) * 4, value=fill)
    for image, source in zip(random_crop(IMAGES, pad, fill), padded, strict=True):
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


def erased(**changes: object) -> torch.Tensor:
    """Where many white images were erased, and with what: [B, 3, H, W], elsewhere NaN."""
    torch.manual_seed(0)
    seed_rectangles(0)
    white = torch.full((200, 3, 60, 60), 255, dtype=torch.uint8)
    recipe = AugmentRecipe.model_validate({"flip": 0, "pad": 0, "erase": 1, **changes})
    out = augment(white, ImageRecipe(mean=(0.4, 0.5, 0.6)), recipe)
    return out.where(out != augment(white, ImageRecipe(mean=(0.4, 0.5, 0.6)), OFF), torch.nan)


def test_erasing_with_the_mean_leaves_nothing_after_normalisation() -> None:
    out = erased(erase_with="mean")
    assert out[~out.isnan()].unique().tolist() == [0]
    where = ~out.isnan()
    assert where.any(1).any(1).any(1).all()
    # the same rectangles as with noise
    assert torch.equal(~erased(erase_with="noise").isnan(), where)


def test_erased_rectangles_have_the_asked_sizes() -> None:
    where = ~erased(erase_with="mean", erase_area=[0.1, 0.2], erase_ratio=[0.5, 3])[:, 0].isnan()
    area = where.float().mean((1, 2))
    assert 0.09 < area.amin() < 0.11
    assert 0.19 < area.amax() < 0.21
    ratio = where.any(2).sum(1) / where.any(1).sum(1)
    assert 0.45 < ratio.amin() < 0.6
    assert 2.6 < ratio.amax() < 3.3


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"erase_area": [0.4, 0.3]}, r"'erase_area'.*the smallest first, then the largest"),
        ({"erase_ratio": [3.3, 0.3]}, r"'erase_ratio'.*the smallest first, then the largest"),
        ({"erase_area": [0, 0.3]}, r"'erase_area\.0' is 0; expected .*greater than 0"),
        ({"erase_area": [0.1, 1.1]}, r"'erase_area\.1' is 1\.1; expected .*or equal to 1"),
        ({"erase_with": "zero"}, r"'erase_with' is 'zero'; expected .*'noise' or 'mean'"),
        ({"fill": 256}, r"'fill' is 256; expected .*or equal to 255"),
        ({"channel": 1.5}, r"'channel' is 1\.5; expected .*or equal to 1"),
    ],
)
def test_values_out_of_bounds(given: dict[str, object], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        parse_params(given, AugmentRecipe, "recipe.yaml")


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_one_channel_takes_the_place_of_three(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    images = torch.randint(0, 256, (60, 3, 4, 2)).to(dtype)
    out = random_channel(images, 0.5)
    assert out.dtype == dtype
    kinds = []
    for image, made in zip(images, out, strict=True):
        channels = [c for c in range(3) if torch.equal(made, image[c].expand(3, -1, -1))]
        kinds.append(channels[0] if channels else 3)
        assert channels or torch.equal(made, image)
    assert set(kinds) == {0, 1, 2, 3}
    assert random_channel(images, 0) is images


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_the_luma_takes_the_place_of_three_channels(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    images = torch.randint(0, 256, (60, 3, 4, 2)).to(dtype)
    weights = torch.tensor([0.2989, 0.587, 0.114]).view(3, 1, 1)
    kinds = set()
    for image, made in zip(images, random_grey(images, 0.5), strict=True):
        if torch.equal(made, image):
            kinds.add("kept")
        else:
            kinds.add("grey")
            luma = (image * weights).sum(0).expand(3, -1, -1)
            assert (made - luma).abs().max() < (0.53 if dtype == torch.uint8 else 0.03)
    assert kinds == {"kept", "grey"}
    assert random_grey(images, 0) is images


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_an_infrared_image_stays_as_it_is(dtype: torch.dtype) -> None:
    infrared = torch.arange(256).view(1, 1, 16, 16).expand(4, 3, 16, 16).to(dtype)
    assert torch.equal(random_channel(infrared, 1), infrared)
    assert torch.equal(random_grey(infrared, 1), infrared)


def test_a_grey_image_is_grey_after_all_other_colours() -> None:
    torch.manual_seed(0)
    plain = ImageRecipe(mean=(0, 0, 0), std=(1, 1, 1))
    for change in ({"channel": 1}, {"grey": 1}):
        recipe = AugmentRecipe(colour=0.2, jitter=JITTER, erase=0).model_copy(update=change)
        out = augment(IMAGES, plain, recipe)
        assert torch.equal(out[:, :1].expand_as(out), out)
        assert out.unique().numel() > 4


def test_a_seed_decides_everything() -> None:
    recipe = AugmentRecipe(
        pad=1, colour=0.1, rotate=5, jitter=JITTER, channel=0.5, grey=0.5, occlude=0.8
    )

    def draw() -> torch.Tensor:
        torch.manual_seed(5)
        seed_rectangles(5)
        random.random()  # a thread of another library may draw at any moment
        return augment(IMAGES, ImageRecipe(), recipe)

    assert torch.equal(draw(), draw())


@pytest.mark.parametrize("size", [(31, 20), (30, 20), (24, 24)])
def test_rotation_as_in_torchvision(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    images = torch.randint(1, 256, (6, 3, *size)).to(torch.uint8)
    angles = torch.tensor([0.0, 3.3, -3.3, 5.0, 37.0, 180.0])
    found = rotate(images, angles)
    assert found.dtype == torch.uint8
    assert torch.equal(found[0], images[0])
    assert torch.equal(found[5], images[5].flip((1, 2)))
    for image, angle, out in zip(images, angles.tolist(), found, strict=True):
        wanted = functional.rotate(image, angle)  # ties fall to either side
        assert (out == wanted).float().mean() > 0.99


def test_rotation_has_a_largest_angle_and_a_sign() -> None:
    torch.manual_seed(0)
    line = torch.zeros(64, 1, 41, 41)
    line[:, :, 20] = 1
    out = random_rotation(line, 20.0)
    # a row through the middle that is turned by a degrees ends 20 tan(a) further up or down
    ends = out[:, 0, :, 39].argmax(1) - 20
    assert ends.abs().max() in (6, 7)
    assert ends.min() < -3
    assert ends.max() > 3
    assert random_rotation(line, 0) is line


def test_what_a_rotation_brings_in_is_black() -> None:
    white = torch.full((1, 3, 20, 20), 255, dtype=torch.uint8)
    out = rotate(white, torch.tensor([45.0]))
    assert set(out.unique().tolist()) == {0, 255}
    assert out[0, :, 0, 0].tolist() == [0, 0, 0]


def test_jitter_is_per_image_within_the_range() -> None:
    torch.manual_seed(0)
    images = torch.randint(0, 256, (1, 3, 8, 8)).to(torch.uint8).repeat(5, 1, 1, 1)
    out = random_jitter(images, JITTER)
    assert out.amin() >= 0
    assert out.amax() <= 255
    assert len(out.flatten(1).unique(dim=0)) == 5
    assert random_jitter(images, None) is images


def test_each_gain_stays_between_its_bounds() -> None:
    torch.manual_seed(0)
    grey = torch.full((200, 3, 2, 2), 100, dtype=torch.uint8)
    out = random_jitter(grey, JitterRecipe(brightness=(0.5, 2)))
    assert 50 <= out.amin() < 60
    assert 190 < out.amax() <= 200
    torch.testing.assert_close(
        random_jitter(grey, JITTER.model_copy(update={"brightness": (1, 1)})), grey.float()
    )
    torch.testing.assert_close(random_jitter(grey, JitterRecipe()), grey.float())


def test_hue_turns_within_its_bounds() -> None:
    torch.manual_seed(0)
    red = torch.tensor([255, 0, 0], dtype=torch.uint8).view(1, 3, 1, 1).repeat(200, 1, 1, 1)
    green, blue = random_jitter(red, JitterRecipe(hue=0.1))[:, 1:, 0, 0].unbind(1)
    assert 140 < green.amax() <= 153.01  # a tenth of the circle is 0.6 of the way to yellow
    assert 140 < blue.amax() <= 153.01


def test_images_of_any_layout_are_jittered() -> None:
    images = torch.randint(0, 256, (2, 3, 8, 4)).to(torch.uint8)
    torch.manual_seed(1)
    wanted = random_jitter(images, JITTER)
    torch.manual_seed(1)
    assert torch.equal(random_jitter(images.to(memory_format=torch.channels_last), JITTER), wanted)


def test_the_compiled_jitter_is_that_of_the_tensors() -> None:
    torch.manual_seed(0)
    images = torch.rand(7, 3, 9, 5)
    gains, turns, order = 0.5 + torch.rand(7, 3), 0.2 * torch.rand(7) - 0.1, torch.randperm(4)
    wanted = jitter(images, gains, turns, order)
    jitter_in_place(images, gains, turns, order)
    torch.testing.assert_close(images, wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_a_white_square_covers_a_part_of_every_image(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    black = torch.zeros(400, 3, 20, 10, dtype=dtype)
    out = random_occlusion(black, 0.8)
    assert out.dtype == dtype
    assert set(out.unique().tolist()) == {0, 255}
    white = (out == 255).all(1)
    assert torch.equal(white, (out == 255).any(1))
    height, width = white.any(2).sum(1), white.any(1).sum(1)
    assert torch.equal(height, width)
    assert torch.equal(white.sum((1, 2)), height * width)
    # less than int(0.8 * 10), and never at the last row and column
    assert set(height.tolist()) == set(range(1, 8))
    assert white.any(2).any(0).tolist() == [True] * 19 + [False]
    assert white.any(1).any(0).tolist() == [True] * 9 + [False]
    assert random_occlusion(black, 0) is black
    assert (random_occlusion(black, 0.1) == 255).sum((1, 2, 3)).tolist() == [3] * 400


def test_the_square_is_white_after_all_other_colours() -> None:
    torch.manual_seed(0)
    recipe = AugmentRecipe(rotate=5, jitter=JITTER, occlude=0.8, erase=0)
    black = torch.zeros(8, 3, 32, 16, dtype=torch.uint8)
    out = augment(black, ImageRecipe(mean=(0, 0, 0), std=(1, 1, 1)), recipe)
    assert set(out.unique().tolist()) == {0, 1}


def test_changes_that_are_off_take_no_draw() -> None:
    def after(recipe: AugmentRecipe) -> torch.Tensor:
        torch.manual_seed(5)
        augment(IMAGES, ImageRecipe(), recipe)
        return torch.rand(1)

    torch.manual_seed(5)
    random_crop(random_flip(IMAGES, 0.5), 1)
    wanted = torch.rand(1)
    assert after(AugmentRecipe(pad=1, erase=0)) == wanted
    changes = ({"rotate": 5}, {"jitter": JITTER}, {"channel": 0.5}, {"grey": 0.5}, {"occlude": 0.8})
    for changed in changes:
        assert after(AugmentRecipe(pad=1, erase=0).model_copy(update=changed)) != wanted


@pytest.mark.parametrize("gains", [[2, 1], [-1, 1]])
def test_gains_go_upwards_from_nothing(gains: list[float]) -> None:
    with pytest.raises(ParamsError, match=r"jitter\.contrast.*a lowest gain from 0 on, then"):
        parse_params({"jitter": {"contrast": gains}}, AugmentRecipe, "recipe.yaml")
