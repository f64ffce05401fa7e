"""Drawn splits: apart by person, every query with a match, a function of the seed alone."""

import json
import random
from collections import Counter, defaultdict
from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from reid.data.readers.reading import Row
from reid.data.readers.splitting import (
    TEST,
    UNKNOWN,
    check_draw,
    complete_splits,
    draw_queries,
    split_identities,
)
from reid.errors import DataError, ParamsError


def people(*shots: str, split: str = UNKNOWN) -> list[Row]:
    """Make rows: one text per person, one letter per image, which is its camera; `.` is unknown."""
    return [
        Row(
            path=f"{pid:03}/{number:02}.jpg",
            split=split,
            pid=pid,
            camid=None if letter == "." else ord(letter) - ord("a"),
            cam_raw=None if letter == "." else letter,
        )
        for pid, letters in enumerate(shots)
        for number, letter in enumerate(letters)
    ]


def splits(rows: list[Row]) -> dict[str, str]:
    return {row.path: row.split for row in rows}


ALBUM = st.text("abc", min_size=1, max_size=7)
ALBUMS = st.lists(ALBUM, min_size=3, max_size=12)
WITHOUT_CAMERAS = st.lists(st.text(".", min_size=1, max_size=5), min_size=3, max_size=12)
SHARE = st.floats(0.05, 0.95)
SEED = st.integers(0, 2**40)
few = settings(max_examples=60, deadline=None)


def sought(albums: list[str]) -> list[int]:
    """Persons who can be looked for."""
    across = any(len(set(album)) > 1 for album in albums)
    return [
        pid for pid, album in enumerate(albums) if len(set(album) if across else list(album)) > 1
    ]


@few
@given(ALBUMS | WITHOUT_CAMERAS, SHARE, SEED)
def test_persons_are_apart_and_every_query_has_a_match(
    albums: list[str], share: float, seed: int
) -> None:
    ready = sought(albums)
    assume(len(ready) >= 2)
    rows = split_identities(people(*albums), share, seed)
    assert {row.split for row in rows} == {"train", "query", "gallery"}
    train = {row.pid for row in rows if row.split == "train"}
    test = {row.pid for row in rows if row.split != "train"}
    assert not train & test
    across = any(len(set(album)) > 1 for album in albums)
    for query in (row for row in rows if row.split == "query"):
        assert any(
            row.split == "gallery"
            and row.pid == query.pid
            and (not across or row.camid != query.camid)
            for row in rows
        )
    assert {row.pid for row in rows if row.split == "query"} == test & set(ready)


@few
@given(ALBUMS, SHARE, SEED, st.randoms(use_true_random=False))
def test_neither_order_nor_a_folder_around_the_files_matters(
    albums: list[str], share: float, seed: int, order: random.Random
) -> None:
    assume(len(sought(albums)) >= 2)
    rows = people(*albums)
    drawn = splits(split_identities(rows, share, seed))
    shuffled = [replace(row, path=f"wrapped/{row.path}") for row in rows]
    order.shuffle(shuffled)
    again = split_identities(shuffled, share, seed)
    assert [row.path for row in again] == [row.path for row in shuffled]
    assert splits(again) == {f"wrapped/{path}": split for path, split in drawn.items()}


@few
@given(st.lists(ALBUM, min_size=1, max_size=8), SEED)
def test_there_is_at_most_one_query_per_person_and_camera(albums: list[str], seed: int) -> None:
    rows = draw_queries(people(*albums, split=TEST), seed)
    across = any(len(set(album)) > 1 for album in albums)
    queries = Counter((row.pid, row.camid if across else 0) for row in rows if row.split == "query")
    assert set(queries.values()) <= {1}
    for pid in sought(albums):
        asked = sum(count for (person, _), count in queries.items() if person == pid)
        cameras = Counter(albums[pid]) if across else Counter({"": len(albums[pid])})
        full = sum(count > 1 for count in cameras.values())
        # with two cameras that keep an image every camera asks, else all but one
        assert asked == len(cameras) - (across and full < 2)


@pytest.mark.parametrize(
    ("album", "queries", "cameras_of_gallery"),
    [
        ("ab", 1, 1),
        ("aab", 1, 2),
        ("aabb", 2, 2),
        ("abc", 2, 1),
        ("aabbc", 3, 2),
        ("aaa", 0, 1),
        ("a", 0, 1),
    ],
)
def test_few_images_leave_a_match_for_every_query(
    album: str, queries: int, cameras_of_gallery: int
) -> None:
    for seed in range(20):
        rows = draw_queries(people(album, "ab", split=TEST), seed)[: len(album)]
        assert sum(row.split == "query" for row in rows) == queries
        kept = {row.camid for row in rows if row.split == "gallery"}
        assert len(kept) == cameras_of_gallery


def test_every_choice_is_drawn() -> None:
    chosen = defaultdict(set)
    tested = set()
    for seed in range(60):
        for row in draw_queries(people("aaabbb", split=TEST), seed):
            if row.split == "query":
                chosen[row.cam_raw].add(row.path)
        rows = split_identities(people(*["ab"] * 6), 0.5, seed)
        tested.add(frozenset(row.pid for row in rows if row.split == "query"))
    assert {camera: len(paths) for camera, paths in chosen.items()} == {"a": 3, "b": 3}
    assert {len(drawn) for drawn in tested} == {3}
    assert len(tested) > 10


def test_the_share_is_taken_of_those_who_can_be_sought_and_of_the_others() -> None:
    rows = split_identities(people(*["aabb"] * 20, *["a"] * 10), 0.3, seed=5)
    tested = {row.pid for row in rows if row.split != "train"}
    assert len([pid for pid in tested if pid is not None and pid < 20]) == 6
    assert len([pid for pid in tested if pid is not None and pid >= 20]) == 3


@pytest.mark.parametrize(("share", "expected"), [(0, {"train"}), (1, {"query", "gallery"})])
def test_all_or_none_may_be_tested_on(share: float, expected: set[str]) -> None:
    assert {row.split for row in split_identities(people("ab", "b"), share, 0)} == expected


def test_a_tiny_share_still_tests_and_a_large_one_still_trains() -> None:
    for share in (0.01, 0.99):
        rows = split_identities(people("ab", "ab"), share, seed=1)
        assert {row.split for row in rows} == {"train", "query", "gallery"}


def test_a_person_who_joins_leaves_the_draws_of_the_others_alone() -> None:
    rows = people(*["aabb"] * 9)
    named = [replace(row, attrs=json.dumps({"person": f"p{row.pid}"})) for row in rows]
    # the newcomer comes first by name, so that all numbers move by one
    newcomer = [replace(row, attrs='{"person": "new"}', path=f"new/{row.path}") for row in rows[:4]]
    moved = [replace(row, pid=(row.pid or 0) + 1) for row in named] + newcomer
    before, after = (
        splits(draw_queries([replace(row, split=TEST) for row in named], 3)),
        splits(draw_queries([replace(row, split=TEST) for row in moved], 3)),
    )
    assert before.items() <= after.items()
    whole = split_identities(named, 0.5, 3), split_identities(moved, 0.5, 3)
    trained = [{row.attrs for row in drawn if row.split == "train"} for drawn in whole]
    assert len(trained[0] ^ trained[1]) <= 2


def test_what_has_a_split_keeps_it() -> None:
    junk = Row("x.jpg", "ignored", -1, 0, "a", flag="junk")
    given_splits = [replace(row, split="val") for row in people("ab")]
    assert complete_splits([*given_splits, junk], 0.5, 0) == [*given_splits, junk]
    drawn = complete_splits([*given_splits, *people("ab", split=TEST), junk], 0.5, 0)
    assert Counter(row.split for row in drawn) == {"val": 2, "query": 1, "gallery": 1, "ignored": 1}
    assert complete_splits([junk, *people("ab", "ab")], 0.5, 0)[0] == junk


@pytest.mark.parametrize(
    ("albums", "message"),
    [
        (["aabb"], "of 1 persons 1 seen by two cameras; expected at least 2, one to train on"),
        (["ab", "cc", "c"], "of 3 persons 1 seen by two cameras"),
        (["..", ".", "."], "of 3 persons 1 with two images"),
        ([], "of 0 persons 0 with two images"),
    ],
)
def test_too_few_persons_are_an_error_with_a_remedy(albums: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message) as raised:
        split_identities(people(*albums), 0.5, 0)
    assert str(raised.value).endswith("State the splits, or set test_share to 0 or 1.")


@pytest.mark.parametrize(
    ("share", "seed", "message"),
    [
        (1.5, 0, "test_share 1.5; expected 0 to 1"),
        (-0.1, 0, "test_share -0.1; expected"),
        (float("nan"), 0, "test_share nan"),
        (True, 0, "test_share True"),
        ("half", 0, "test_share 'half'"),
        (0.5, -1, "seed -1; expected a whole number from 0"),
        (0.5, 1.5, "seed 1.5"),
        (0.5, False, "seed False"),
    ],
)
def test_options_out_of_range_are_errors(share: float, seed: int, message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        check_draw(share, seed)
