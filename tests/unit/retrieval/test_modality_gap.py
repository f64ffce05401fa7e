from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reid.errors import EvaluationError
from reid.retrieval.embeddings import Embeddings
from reid.retrieval.features import IntArray
from reid.retrieval.modality_gap import (
    ModalityGap,
    ModalityPairs,
    Seen,
    choose_images,
    draw_pairs,
    measure_gap,
)
from reid.retrieval.precision import rounded

Image = tuple[int, int, bool]
IMAGES = st.tuples(st.integers(-1, 4), st.integers(0, 2), st.booleans())


def seen_in(images: list[Image]) -> Seen:
    people, cameras, infrared = zip(*images, strict=True)
    return Seen(np.array(people, np.int64), np.array(cameras, np.int64), np.array(infrared))


def as_set(pairs: IntArray) -> set[frozenset[int]]:
    found = {frozenset(pair) for pair in pairs.tolist()}
    assert len(found) == len(pairs)
    return found


def naive(images: list[Image]) -> dict[str, set[frozenset[int]]]:
    both = {p for p, _, ir in images if ir} & {p for p, _, ir in images if not ir}
    found: dict[str, set[frozenset[int]]] = {"any": set(), "cameras": set()}
    found |= {"across": set(), "others": set()}
    for (i, a), (j, b) in product(enumerate(images), repeat=2):
        if i >= j or -1 in (a[0], b[0]):
            continue
        if a[2] != b[2]:
            found["across" if a[0] == b[0] else "others"].add(frozenset((i, j)))
        elif a[0] == b[0] and a[0] in both:
            found["any"].add(frozenset((i, j)))
            if a[1] != b[1]:
                found["cameras"].add(frozenset((i, j)))
    return found


@settings(deadline=None, max_examples=150)
@given(st.lists(IMAGES, min_size=1, max_size=14))
def test_all_pairs_are_found_where_there_are_few(images: list[Image]) -> None:
    pairs, expected = draw_pairs(seen_in(images), 0), naive(images)
    within = expected["cameras"] or expected["any"]
    if not (within and expected["across"] and expected["others"]):
        assert pairs is None
        return
    assert pairs is not None
    assert pairs.between_cameras == bool(expected["cameras"])
    assert as_set(pairs.within) == within
    assert as_set(pairs.across) == expected["across"]
    assert as_set(pairs.others) == expected["others"]


def test_of_many_pairs_some_are_drawn_with_equal_chance() -> None:
    sizes = ((0, 4), (1, 16))  # the second person has 16 times as many pairs across
    images = [(p, i % 2, ir) for p, size in sizes for ir in (False, True) for i in range(size)]
    seen = seen_in(images)
    shares = []
    for seed in range(30):
        pairs = draw_pairs(seen, seed, limit=50)
        assert pairs is not None
        for kind in pairs[:3]:
            assert len(as_set(kind)) == 50
        shares.append(float((seen.person_ids[pairs.across[:, 0]] == 1).mean()))
    assert np.mean(shares) == pytest.approx(16 / 17, abs=0.03)
    again, same = (draw_pairs(seen, 3, limit=50) for _ in range(2))
    assert again is not None
    assert same is not None
    assert np.array_equal(again.others, same.others)


def angles(degrees: list[float], lengths: list[float]) -> np.ndarray:
    radians = np.radians(degrees)
    unit = np.stack([np.cos(radians), np.sin(radians)], axis=1)
    return (unit * np.array(lengths)[:, None]).astype(np.float32)


PAIRS = ModalityPairs(np.array([[0, 1]]), np.array([[0, 2], [1, 3]]), np.array([[0, 3]]), True)


def test_distances_are_cosines_and_do_not_depend_on_lengths() -> None:
    gap = measure_gap(angles([0, 60, 90, 180], [1, 5, 0.1, 3]), PAIRS)
    assert gap.within == pytest.approx([0.5])
    assert gap.across == pytest.approx([1.0, 1.5])
    assert gap.others == pytest.approx([2.0])
    assert gap.gap == pytest.approx(0.75)
    assert gap.share == pytest.approx(0.5)
    assert gap.figures() == {
        "within": 0.5,
        "across": 1.25,
        "others": 2.0,
        "gap": 0.75,
        "share": 0.5,
        "auc": 1.0,
        "pairs": 4,
    }


def test_features_in_half_precision_give_nearly_the_same() -> None:
    features = angles([0, 60, 90, 180], [1, 5, 0.1, 3])
    plain = measure_gap(features, PAIRS)
    for kind in ("float16", "bfloat16"):
        found = measure_gap(rounded(features, kind), PAIRS)
        assert found.across == pytest.approx(plain.across, abs=0.02)


def test_a_feature_of_zeros_is_as_far_from_all() -> None:
    gap = measure_gap(angles([0, 60, 90, 180], [0, 1, 1, 1]), PAIRS)
    assert (gap.within.item(), gap.others.item()) == (1.0, 1.0)


def test_features_that_are_no_numbers_are_refused() -> None:
    features = angles([0, 60, 90, 180], [1, 1, 1, float("nan")])
    with pytest.raises(EvaluationError, match="features of 1 of 2 pairs are not finite; expected"):
        measure_gap(features, PAIRS)


@settings(deadline=None, max_examples=50)
@given(*[st.lists(st.integers(0, 5), min_size=1, max_size=12)] * 2)
def test_auc_is_the_chance_that_a_person_is_nearer_than_another(
    across: list[int], others: list[int]
) -> None:
    wins = [1.0 if a < b else 0.5 if a == b else 0.0 for a, b in product(across, others)]
    gap = ModalityGap(np.zeros(1), np.array(across, float), np.array(others, float))
    assert gap.auc == pytest.approx(np.mean(wins))


def test_no_share_where_others_are_no_farther() -> None:
    gap = ModalityGap(np.array([0.5]), np.array([0.6]), np.array([0.5]))
    assert gap.share is None
    assert gap.figures()["share"] is None


def test_chosen_images_are_of_people_in_both_spectra_half_in_either_light() -> None:
    images = [(p, 0, ir) for p in range(6) for ir in (False, True) for _ in range(5)]
    images += [(7, 0, False)] * 9 + [(-1, 0, ir) for ir in (False, True)]
    seen = seen_in(images)
    assert seen.in_both.tolist() == list(range(6))
    rows = choose_images(seen, people=4, images=24, seed=1)
    assert rows.tolist() == sorted(set(rows.tolist()))
    shown = seen.take(rows)
    people, counts = np.unique(shown.person_ids[shown.infrared], return_counts=True)
    assert counts.tolist() == [3] * 4
    assert np.bincount(shown.person_ids, minlength=8)[people].tolist() == [6] * 4
    assert np.array_equal(rows, choose_images(seen, people=4, images=24, seed=1))
    assert not np.array_equal(rows, choose_images(seen, people=4, images=24, seed=2))


def test_nobody_is_chosen_where_all_are_seen_in_one_light() -> None:
    assert choose_images(seen_in([(1, 0, False), (2, 0, True)]), 4, 24, 0).tolist() == []


@pytest.mark.parametrize(("first_role", "people"), [("query", [1]), ("gallery", [0, 1])])
def test_a_distractor_is_nobody_unless_it_is_looked_for(first_role: str, people: list[int]) -> None:
    embeddings = Embeddings(
        features=np.ones((4, 2), np.float32),
        person_ids=np.array([1, 1, 0, 0]),
        camera_ids=np.zeros(4, np.int64),
        roles=np.array([first_role, "query", "gallery", "pool" if 0 in people else "gallery"]),
        paths=np.array(list("abcd")),
        modalities=np.array(["rgb", "ir", "rgb", "ir"]),
    )
    assert Seen.of(embeddings).in_both.tolist() == people
    assert embeddings.person_ids.tolist() == [1, 1, 0, 0]
