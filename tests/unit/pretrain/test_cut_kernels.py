"""The compiled crops are those of PyTorch's operations, whatever else is cut beside them."""

from itertools import permutations
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Generator, Tensor

from reid.pretrain.crop import draw_boxes
from reid.pretrain.cut_kernels import cut_crops
from reid.pretrain.draws import CropDraws
from reid.pretrain.recipe import ViewsRecipe
from reid.pretrain.views import crops_by_torch

CHANGES = ("flip", "jitter", "grey", "blur", "solarise")
PLAIN = ViewsRecipe(mean=(0, 0, 0), std=(1, 1, 1))
VIEWS, IMAGES = 3, 4


def noise(height: int, width: int, seed: int = 0) -> Tensor:
    generator = Generator().manual_seed(seed)
    shape = (IMAGES, 3, height, width)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def drawn(size: tuple[int, int], seed: int = 0, **changes: Any) -> CropDraws:
    """Random boxes and amounts; what does not happen to all crops is named in `changes`."""
    generator = Generator().manual_seed(seed)
    boxes = draw_boxes(VIEWS * IMAGES, size, (0.05, 1.0), (0.3, 1.5), generator)
    amounts = torch.rand(5, VIEWS, IMAGES, generator=generator)
    happens = dict.fromkeys(CHANGES, torch.ones(VIEWS, IMAGES, dtype=torch.bool))
    return CropDraws(
        boxes=boxes.view(VIEWS, IMAGES, 4),
        **happens,
        gains=0.6 + 0.8 * amounts[:3].permute(1, 2, 0),
        turn=amounts[3] - 0.5,
        sigma=0.1 + 1.9 * amounts[4],
        order=torch.randperm(4, generator=generator),
    )._replace(**changes)


def only(*names: str) -> dict[str, Tensor]:
    return {name: torch.full((VIEWS, IMAGES), name in names) for name in CHANGES}


def both(
    images: Tensor, draws: CropDraws, size: tuple[int, int], recipe: ViewsRecipe = PLAIN
) -> tuple[Tensor, Tensor]:
    found = cut_crops(images, draws, size, recipe)
    return found, crops_by_torch(images.float() / 255, draws, size, recipe)


def check(found: Tensor, wanted: Tensor, slack: float = 1e-3) -> None:
    torch.testing.assert_close(found, wanted, rtol=0, atol=slack)


@settings(deadline=None, max_examples=25)
@given(
    st.integers(5, 90),
    st.integers(4, 60),
    st.integers(1, 70),
    st.integers(1, 40),
    st.integers(0, 1000),
)
def test_crops_are_those_of_torch(
    height: int, width: int, rows: int, columns: int, seed: int
) -> None:
    generator = Generator().manual_seed(seed)
    some = {name: torch.rand(VIEWS, IMAGES, generator=generator) < 0.5 for name in CHANGES}
    draws = drawn((height, width), seed, **some)
    check(*both(noise(height, width, seed), draws, (rows, columns), ViewsRecipe()), slack=5e-3)


@pytest.mark.parametrize("change", [*CHANGES, None])
def test_each_change_alone(change: str | None) -> None:
    names = [change] if change else []
    images, draws = noise(48, 24), drawn((48, 24), **only(*names))
    found, wanted = both(images, draws, (32, 16))
    check(found, wanted)
    plain = cut_crops(images, draws._replace(**only()), (32, 16), PLAIN)
    assert torch.equal(found, plain) == (change is None)


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_jitter_keeps_the_drawn_order(order: tuple[int, ...]) -> None:
    draws = drawn((48, 24), order=torch.tensor(order), **only("jitter"))
    check(*both(noise(48, 24), draws, (32, 16)))


@pytest.mark.parametrize("sigma", [0.1, 0.42, 1.0, 2.0, 5.0])
def test_blur_of_any_width(sigma: float) -> None:
    draws = drawn((48, 24), sigma=torch.full((VIEWS, IMAGES), sigma), **only("blur"))
    recipe = PLAIN.model_copy(update={"blur": (0.1, max(sigma, 2.0))})
    check(*both(noise(48, 24), draws, (33, 5), recipe))


@pytest.mark.parametrize("turn", [-1.0, -0.5, 0.0, 0.5, 1.0])
def test_hue_of_pure_colours(turn: float) -> None:
    colours = torch.cartesian_prod(*(torch.tensor([0, 128, 255]),) * 3).to(torch.uint8)
    images = colours.T.reshape(1, 3, 9, 3).repeat(IMAGES, 1, 1, 1)
    whole = torch.tensor([0.0, 0.0, 9.0, 3.0]).expand(VIEWS, IMAGES, 4)
    draws = drawn((9, 3), boxes=whole, turn=torch.full((VIEWS, IMAGES), turn), **only("jitter"))
    check(*both(images, draws._replace(gains=torch.ones(VIEWS, IMAGES, 3)), (9, 3)))


def test_boxes_beyond_the_image_see_its_outermost_pixels() -> None:
    boxes = torch.tensor([-7.0, -9.0, 70.0, 50.0]).expand(VIEWS, IMAGES, 4)
    check(*both(noise(48, 24), drawn((48, 24), boxes=boxes, **only("flip")), (40, 20)))


def test_neither_threads_nor_neighbours_change_a_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    images, draws = noise(50, 31), drawn((50, 31))
    wholes = []
    for threads in (1, 2, 5):
        monkeypatch.setattr(torch, "get_num_threads", lambda count=threads: count)
        wholes.append(cut_crops(images, draws, (33, 17), ViewsRecipe()))
    for first, last in ((0, 1), (1, 4)):
        part = slice(first, last)
        alone = cut_crops(images[part], draws.part(part), (33, 17), ViewsRecipe())
        assert torch.equal(alone, wholes[0][:, part])
    assert all(torch.equal(other, wholes[0]) for other in wholes)


def test_one_thread_starts_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    monkeypatch.delattr("reid.compiled.ThreadPoolExecutor")
    assert cut_crops(noise(20, 10), drawn((20, 10)), (8, 4), PLAIN).isfinite().all()


def test_images_need_not_lie_side_by_side_in_memory() -> None:
    images, draws = noise(48, 24), drawn((48, 24))
    stored = images.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    assert torch.equal(
        cut_crops(stored, draws, (32, 16), PLAIN), cut_crops(images, draws, (32, 16), PLAIN)
    )


def test_without_crops_nothing_is_cut() -> None:
    draws = drawn((48, 24))
    none = CropDraws(*(tensor[:0] for tensor in draws[:-1]), draws.order)
    assert cut_crops(noise(48, 24), none, (32, 16), PLAIN).shape == (0, IMAGES, 3, 32, 16)
