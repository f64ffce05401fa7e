import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reid.nn.class_tokens import ClassTokenPlaces, class_positions


def test_places_by_hand() -> None:
    assert class_positions(7, 2) == [2, 5]  # pp c pp c ppp
    places = ClassTokenPlaces(7, 2)
    assert places.order.tolist() == [0, 1, 7, 2, 3, 8, 4, 5, 6]
    assert places.class_places.tolist() == [2, 5]
    assert places.patch_places.tolist() == [0, 1, 3, 4, 6, 7, 8]


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 60), st.integers(1, 12))
def test_joined_tokens_come_apart_again(patches: int, tokens: int) -> None:
    places = ClassTokenPlaces(patches, tokens)
    grid = torch.arange(patches).float().view(1, -1, 1)
    classes = 100 + torch.arange(tokens).float().view(1, -1, 1)
    joint = places.join(grid, classes)
    assert torch.equal(places.patches(joint), grid)
    assert torch.equal(places.classes(joint), classes)
    sequence = joint.flatten().tolist()
    runs, run = [], 0
    for value in sequence:
        runs, run = ([*runs, run], 0) if value >= 100 else (runs, run + 1)
    assert runs == [patches // (tokens + 1)] * tokens
    assert sorted(sequence) == [*grid.flatten().tolist(), *classes.flatten().tolist()]


def test_places_are_in_no_state_dict_and_move_along() -> None:
    places = ClassTokenPlaces(6, 2)
    assert not places.state_dict()
    assert places.to("meta").order.device.type == "meta"
