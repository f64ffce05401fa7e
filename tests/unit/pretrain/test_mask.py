from random import Random
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reid.errors import ParamsError
from reid.params import parse_params
from reid.pretrain.mask import draw_masks, draw_ratio
from reid.pretrain.recipe import MaskRecipe


def recipe(**changes: Any) -> MaskRecipe:
    return parse_params({"ratios": (0.3,), "spreads": (0.0,), **changes}, MaskRecipe, "r.yaml")


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 20),
    st.integers(1, 20),
    st.floats(0, 0.95),
    st.sampled_from(["block", "rand"]),
    st.integers(0, 99),
)
def test_a_mask_never_covers_more_than_its_share(
    rows: int, columns: int, ratio: float, shape: str, seed: int
) -> None:
    masks = draw_masks(3, (rows, columns), recipe(ratios=(ratio,), shape=shape), 0, Random(seed))
    assert masks.shape == (3, rows, columns)
    most = int(ratio * rows * columns)
    counts = masks.sum(dim=(1, 2))
    assert int(counts.max()) <= most
    if shape == "rand":
        assert counts.tolist() == [most] * 3


def test_blocks_come_close_to_their_share() -> None:
    counts = draw_masks(200, (16, 8), recipe(), 0, Random(0)).sum(dim=(1, 2)).float()
    assert float(counts.mean()) > 0.97 * 38


def test_blocks_hang_together() -> None:
    """A masked patch has more masked neighbours in rectangles than among scattered patches."""

    def neighbours(shape: str) -> float:
        masks = draw_masks(100, (16, 8), recipe(shape=shape), 0, Random(0))
        return float((masks[:, 1:] & masks[:, :-1]).sum() / masks.sum())

    assert neighbours("block") > 2 * neighbours("rand")


def test_masking_may_begin_later() -> None:
    late = recipe(first_epoch=2)
    assert not draw_masks(4, (8, 4), late, 1, Random(0)).any()
    assert draw_masks(4, (8, 4), late, 2, Random(0)).any()


def test_each_image_takes_one_of_the_ratios() -> None:
    mixed = recipe(ratios=(0.0, 0.3), spreads=(0.0, 0.2))
    random = Random(0)
    ratios = [draw_ratio(mixed, random) for _ in range(2000)]
    drawn = [ratio for ratio in ratios if ratio > 0]
    assert 900 < len(drawn) < 1100
    assert 0.1 <= min(drawn) < 0.11
    assert 0.49 < max(drawn) <= 0.5


def test_the_generator_decides() -> None:
    masks = [draw_masks(4, (8, 4), recipe(), 0, Random(seed)) for seed in (1, 1, 2)]
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ratios": (0.1, 0.2)}, "as many spreads as ratios"),
        ({"ratios": (0.9,), "spreads": (0.1,)}, "at least 0 and below 1, with their spreads"),
        ({"spreads": (0.4,)}, "at least 0 and below 1, with their spreads"),
        ({"shape": "blocks"}, "shape"),
    ],
)
def test_mistakes_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        recipe(**changes)


def test_a_block_never_reaches_across_the_grid() -> None:
    for grid in ((1, 20), (20, 1)):
        assert not draw_masks(20, grid, recipe(), 0, Random(0)).any()
