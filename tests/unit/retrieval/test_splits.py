import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reid.errors import EvaluationError
from reid.retrieval.protocols import PROTOCOLS
from reid.retrieval.splits import draw_gallery, splits
from reid.retrieval.testset import TestSet

PERSONS = np.array([3, 7, 3, 5, 7, 7, 3])
SYSU = PROTOCOLS["sysu_all_single"]


def by_role(roles: list[str]) -> TestSet:
    return TestSet("toy", PERSONS, np.zeros(7, np.int64), np.array(roles))


def two_modalities(seed: int = 0, rows: int = 60, trials: int = 0) -> TestSet:
    """Rows in random order; official draws number the images of each person and camera."""
    generator = np.random.default_rng(seed)
    persons, cameras = generator.integers(1, 6, rows), generator.integers(0, 6, rows)
    draws = np.full((rows, trials), -1)
    for trial in range(trials):
        for person, camera in {*zip(persons.tolist(), cameras.tolist(), strict=True)}:
            mine = np.flatnonzero((persons == person) & (cameras == camera))
            draws[mine, trial] = generator.permutation(len(mine))
    return TestSet(
        "toy",
        persons,
        cameras,
        np.full(rows, "pool"),
        np.where(np.isin(cameras, (2, 5)), "ir", "rgb"),
        np.array([f"cam{camera}/{generator.integers(10**9):09d}" for camera in cameras]),
        draws,
    )


def test_given_roles_are_kept_where_nothing_is_drawn() -> None:
    test = by_role(["query", "gallery", "gallery", "query", "pool", "gallery", "gallery"])
    (split,) = splits(PROTOCOLS["market"], test)
    assert split.query_rows.tolist() == [0, 3]
    assert split.gallery_rows.tolist() == [1, 2, 5, 6]


@pytest.mark.parametrize("name", ["cuhk03", "cuhk03_drawn"])
def test_images_of_a_pool_are_both_in_single_shot_galleries(name: str) -> None:
    (split,) = splits(PROTOCOLS[name], by_role(["pool"] * 6 + ["gallery"]))
    assert split.query_rows.tolist() == list(range(6))
    assert split.gallery_rows.tolist() == list(range(7))


@pytest.mark.parametrize(
    ("roles", "found"),
    [
        (["query"] * 7, "7 query"),
        (["gallery"] * 7, "7 gallery"),
        (["pool"] * 4 + ["query"] * 3, "4 pool, 3 query"),
    ],
)
def test_a_role_without_images(roles: list[str], found: str) -> None:
    with pytest.raises(EvaluationError) as caught:
        next(splits(PROTOCOLS["market"], by_role(roles)))
    assert str(caught.value) == (
        f"toy: {found} images; expected images of the roles query and gallery under the protocol "
        "market. Give the images these roles, or take the protocol made for this dataset."
    )


def test_one_image_of_each_person_is_drawn_in_every_trial() -> None:
    protocol = PROTOCOLS["vehicleid"]
    for roles in (["pool"] * 7, ["query"] * 3 + ["gallery"] * 4):
        made = list(splits(protocol, by_role(roles)))
        assert len(made) == protocol.trials
        for split in made:
            assert PERSONS[split.gallery_rows].tolist() == [3, 5, 7]
            together = [*split.query_rows.tolist(), *split.gallery_rows.tolist()]
            assert sorted(together) == list(range(7))
        assert len({tuple(split.gallery_rows.tolist()) for split in made}) > 1


def test_a_draw_depends_on_seed_and_trial() -> None:
    persons = np.repeat(np.arange(50), 9)
    first = draw_gallery(persons, seed=0, trial=0)
    np.testing.assert_array_equal(first, draw_gallery(persons, seed=0, trial=0))
    assert not np.array_equal(first, draw_gallery(persons, seed=0, trial=1))
    assert not np.array_equal(first, draw_gallery(persons, seed=1, trial=0))


def test_nothing_to_draw_from() -> None:
    with pytest.raises(EvaluationError, match="0 images; expected at least one person"):
        draw_gallery(np.empty(0, np.int64), 0, 0)


def test_sides_by_modality_whatever_the_roles() -> None:
    test = two_modalities()
    for name, query in (("regdb_visible_to_thermal", "rgb"), ("regdb_thermal_to_visible", "ir")):
        (split,) = splits(PROTOCOLS[name], test)
        assert split.query_rows.tolist() == np.flatnonzero(test.modalities == query).tolist()
        assert split.gallery_rows.tolist() == np.flatnonzero(test.modalities != query).tolist()


@pytest.mark.parametrize(
    ("protocol", "modality", "message"),
    [
        ("sysu_all_single", "ir", r"a gallery without visible images \(60 images\)"),
        ("regdb_visible_to_thermal", "rgb", "a gallery without infrared images"),
        ("sysu_all_single", "rgb", "queries without infrared images"),
        ("llcm_visible_to_nir", "ir", "queries without visible images"),
    ],
)
def test_a_modality_without_images(protocol: str, modality: str, message: str) -> None:
    test = replace(two_modalities(), modalities=np.full(60, modality))
    expected = f"visible and infrared images under the protocol {protocol}"
    with pytest.raises(EvaluationError, match=f"toy: {message}.*; expected {expected}. Add"):
        next(splits(PROTOCOLS[protocol], test))


def test_a_gallery_in_other_cameras() -> None:
    test = two_modalities()
    outdoor = replace(test, camera_ids=np.where(test.camera_ids < 2, 4, test.camera_ids))
    message = r"without visible images of cameras 0, 1 \(there are 3, 4\)"
    with pytest.raises(EvaluationError, match=message):
        next(splits(PROTOCOLS["sysu_indoor_multi"], outdoor))


def reference_draw(test: TestSet, trial: int) -> list[str]:
    """The seeded draw of one image, written as nested loops with the module's own generator."""
    random.seed(trial)
    chosen = []
    for person in sorted(set(test.person_ids.tolist())):
        for camera in (0, 1, 3, 4):
            mine = (test.person_ids == person) & (test.camera_ids == camera)
            files = sorted(test.paths[mine].tolist())
            if files:
                chosen.append(random.choice(files))
    return sorted(chosen)


@given(st.integers(0, 9999), st.integers(12, 120))
@settings(max_examples=25, deadline=None)
def test_seeded_draws_are_those_of_nested_loops(seed: int, rows: int) -> None:
    test = two_modalities(seed, rows)
    made = [sorted(test.paths[s.gallery_rows].tolist()) for s in splits(SYSU, test)]
    assert made == [reference_draw(test, trial) for trial in range(10)]


@given(st.integers(0, 9999), st.integers(1, 12))
@settings(max_examples=25, deadline=None)
def test_several_shots_of_each_person_and_camera(seed: int, shots: int) -> None:
    test = two_modalities(seed, 120)
    protocol = replace(SYSU, shots=shots)
    for split in splits(protocol, test):
        rows = split.gallery_rows
        assert (np.diff(rows) > 0).all()
        assert (test.modalities[rows] == "rgb").all()
        for person in range(1, 6):
            for camera in (0, 1, 3, 4):
                of_pair = (test.person_ids == person) & (test.camera_ids == camera)
                assert of_pair[rows].sum() == min(shots, of_pair.sum())


@given(st.integers(0, 9999), st.integers(1, 40))
@settings(max_examples=25, deadline=None)
def test_one_sample_reads_the_stream_of_a_choice(seed: int, size: int) -> None:
    sampling, choosing = random.Random(seed), random.Random(seed)
    for _ in range(5):
        assert sampling.sample(range(size), 1) == [choosing.choice(range(size))]


@given(st.integers(0, 9999))
@settings(max_examples=15, deadline=None)
def test_a_seeded_draw_does_not_depend_on_the_order_of_rows(seed: int) -> None:
    test = two_modalities(seed)
    order = np.random.default_rng(seed).permutation(60)
    names = ("person_ids", "camera_ids", "roles", "modalities", "paths", "draws")
    moved = replace(test, **{name: getattr(test, name)[order] for name in names})
    for one, other in zip(splits(SYSU, test), splits(SYSU, moved), strict=True):
        assert {*test.paths[one.gallery_rows]} == {*moved.paths[other.gallery_rows]}


@pytest.mark.parametrize("name", ["sysu_all_single", "sysu_all_multi", "sysu_indoor_single"])
def test_official_draws_are_followed(name: str) -> None:
    protocol, test = PROTOCOLS[name], two_modalities(trials=12)
    for trial, split in enumerate(splits(protocol, test)):
        expected = [
            row
            for row in range(60)
            if test.modalities[row] == "rgb"
            and test.camera_ids[row] in protocol.gallery_cameras
            and 0 <= test.draws[row, trial] < protocol.shots
        ]
        assert split.gallery_rows.tolist() == expected
        assert split.query_rows.tolist() == np.flatnonzero(test.modalities == "ir").tolist()


def test_too_few_official_draws() -> None:
    message = "toy: 9 official gallery draws; expected 10 under the protocol sysu_all_single. Read"
    with pytest.raises(EvaluationError, match=message):
        next(splits(SYSU, two_modalities(trials=9)))


def test_an_official_draw_of_nothing() -> None:
    test = two_modalities(trials=10)
    test.draws[:, 1] = -1
    made = splits(SYSU, test)
    next(made)
    with pytest.raises(EvaluationError, match="gallery draw 2 holds none of the"):
        next(made)
