import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reid.errors import ParamsError
from reid.methods.transreid.jigsaw import gather_pieces, patch_order, piece_orders
from reid.methods.transreid.recipe import JigsawRecipe


def test_shift_by_four_and_two_stacks() -> None:
    # rotated: 4 5 6 7 0 1 2 3, dealt from the stacks 4 5 6 7 and 0 1 2 3
    assert patch_order(8, JigsawRecipe(shift=5, groups=2)).tolist() == [4, 0, 5, 1, 6, 2, 7, 3]


def test_the_paper_rotates_by_one_more() -> None:
    recipe = JigsawRecipe(shift=5, groups=1, legacy_rotation=False)
    assert patch_order(8, recipe).tolist() == [5, 6, 7, 0, 1, 2, 3, 4]


def test_an_odd_sequence_repeats_its_last_but_one() -> None:
    # rotated: 2 3 4 0 1, lengthened: 2 3 4 0 1 0
    assert patch_order(5, JigsawRecipe(shift=3, groups=2)).tolist() == [2, 0, 3, 1, 4, 0]


def test_without_rearrangement_the_order_is_kept() -> None:
    assert patch_order(5, JigsawRecipe(rearrange=False)).tolist() == [0, 1, 2, 3, 4]


def test_groups_that_never_divide_are_refused() -> None:
    with pytest.raises(ParamsError, match=r"10 patches and model\.jigsaw\.groups 4; expected"):
        patch_order(10, JigsawRecipe(groups=4))


@settings(deadline=None, max_examples=50)
@given(st.integers(2, 40), st.integers(1, 60), st.integers(1, 3))
def test_every_patch_stays(patches: int, shift: int, groups: int) -> None:
    if patches % groups == 0 or (patches + 1) % groups == 0:
        order = patch_order(patches, JigsawRecipe(shift=shift, groups=groups))
        assert set(order.tolist()) == set(range(patches))
        assert len(order) == patches + (patches % groups > 0)


def test_pieces_drop_what_is_left_over() -> None:
    (order,) = piece_orders(11, JigsawRecipe(rearrange=False, pieces=4))
    assert order.tolist() == [[0, 1], [2, 3], [4, 5], [6, 7]]


def test_shorter_pieces_at_the_end_are_a_group_of_their_own() -> None:
    orders = piece_orders(10, JigsawRecipe(rearrange=False, pieces=4, divide=3))
    assert [order.tolist() for order in orders] == [[[0, 1, 2], [3, 4, 5], [6, 7, 8]], [[9]]]
    empty = piece_orders(10, JigsawRecipe(rearrange=False, pieces=4, divide=2))[1]
    assert empty.shape == (2, 0)


def test_pieces_begin_with_the_class_token() -> None:
    tokens = torch.arange(2 * 5).view(2, 5, 1).float()
    pieces = gather_pieces(tokens, torch.tensor([[2, 0], [1, 3]]))
    assert pieces.squeeze(-1).tolist() == [[0, 3, 1], [0, 2, 4], [5, 8, 6], [5, 7, 9]]
