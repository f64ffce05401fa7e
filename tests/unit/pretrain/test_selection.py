import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reid.errors import DataError, ParamsError
from reid.pretrain.selection import Scores, select

PATHS = ["d", "b", "a", "c"]


def scores(**by_path: float) -> Scores:
    return Scores("s.csv", by_path)


@pytest.mark.parametrize(
    ("share", "chosen"), [(0.01, [2]), (0.5, [1, 2]), (0.75, [1, 2, 3]), (1.0, [0, 1, 2, 3])]
)
def test_the_best_share_is_chosen(share: float, chosen: list[int]) -> None:
    found = select(PATHS, share, scores(d=-2.0, b=0.5, a=3.0, c=0.4), 0)
    assert found.tolist() == chosen


def test_of_equal_scores_the_first_path_is_chosen() -> None:
    assert select(PATHS, 0.5, scores(a=1, b=1, c=1, d=1), 0).tolist() == [1, 2]


def test_counts_are_rounded_as_the_published_ones() -> None:
    """Of 4,180,243 images of LUPerson 2,508,146 are 60 per cent and 2,090,122 the half."""
    paths = [f"{number:04}" for number in range(1005)]
    assert len(select(paths, 0.5, None, 0)) == 503
    assert len(select(paths, 0.3333, None, 0)) == 335


paths_and_order = st.sets(st.text(min_size=1), min_size=1, max_size=30).flatmap(
    lambda names: st.tuples(st.just(sorted(names)), st.permutations(sorted(names)))
)


@settings(max_examples=30, deadline=None)
@given(paths_and_order, st.floats(0.01, 1), st.integers(0, 3), st.booleans())
def test_the_choice_depends_on_no_order(
    names: tuple[list[str], list[str]], share: float, seed: int, scored: bool
) -> None:
    given_scores = Scores("s", {name: float(len(name)) for name in names[0]}) if scored else None
    chosen = []
    for order in names:
        found = select(order, share, given_scores, seed)
        assert (np.diff(found) > 0).all()
        chosen.append({order[k] for k in found})
    assert chosen[0] == chosen[1]
    smaller = select(names[0], share / 2, given_scores, seed)
    assert {names[0][k] for k in smaller} <= chosen[0]


def test_a_random_share_depends_on_the_seed_alone() -> None:
    paths = [f"{number}.jpg" for number in range(200)]
    first, again, other = (select(paths, 0.5, None, seed).tolist() for seed in (1, 1, 2))
    assert first == again
    assert len(set(first) & set(other)) < 75  # about half of them
    more = select([*paths, "new.jpg"], 0.5, None, 1)  # 101 of 201
    assert len(set(first) - set(more.tolist())) <= 1


@pytest.mark.parametrize("share", [0.0, -0.5, 1.01, float("nan")])
def test_a_wrong_share_is_refused(share: float) -> None:
    with pytest.raises(ParamsError, match=r"expected more than 0 and at most 1"):
        select(PATHS, share, None, 0)


@pytest.mark.parametrize(
    ("given_scores", "message"),
    [
        (scores(x=1, b=1), r"s\.csv: 3 of 4 images have no score, first 'd' \(the file begins wit"),
        (scores(a=1, b=1, c=1, d=1, e=1), r"s\.csv: 1 of 5 paths are no images .*, first 'e'"),
    ],
)
def test_scores_of_other_images_are_refused(given_scores: Scores, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        select(PATHS, 0.5, given_scores, 0)
    assert "\n" not in str(caught.value)
