import re
from collections import defaultdict
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reid.data.synthetic import Shot, WorldSpec, schedule
from reid.data.synthetic.market import GALLERY, QUERY, TRAIN, file_name

MARKET = re.compile(r"^(-1|\d{4})_c(\d)s(\d)_(\d{6})_(\d{2})\.jpg$")
WORLDS = [
    WorldSpec("smoke", "A", 1),
    WorldSpec("demo", "B", 2),
    WorldSpec("bench", "A", 0),
    WorldSpec("smoke", "B", 1, "occluded"),
]


def split_of(shot: Shot) -> str:
    return shot.file.split("/")[0]


@pytest.mark.parametrize("spec", WORLDS, ids=lambda spec: f"{spec.kind}-{spec.size}")
def test_names_follow_the_grammar_and_are_unique(spec: WorldSpec) -> None:
    shots = schedule(spec)
    names = [shot.file.split("/")[1] for shot in shots]
    assert len(set(names)) == len(names)
    for shot, name in zip(shots, names, strict=True):
        found = MARKET.match(name)
        assert found, name
        person, camera, session, frame, _ = found.groups()
        expected = {"person": shot.key.number, "distractor": 0, "junk": -1}[shot.key.kind]
        assert (int(person), int(camera)) == (expected, shot.key.camera)
        assert (int(session) - 1) * 900 + int(frame) / 25 == pytest.approx(shot.time)


@pytest.mark.parametrize("spec", WORLDS, ids=lambda spec: f"{spec.kind}-{spec.size}")
def test_splits_share_nobody_and_every_query_has_a_match(spec: WorldSpec) -> None:
    ids: dict[str, set[int]] = defaultdict(set)
    gallery_cameras: dict[int, set[int]] = defaultdict(set)
    people = [shot for shot in schedule(spec) if shot.key.kind == "person"]
    for shot in people:
        ids[split_of(shot)].add(shot.key.number)
        if split_of(shot) == GALLERY:
            gallery_cameras[shot.key.number].add(shot.key.camera)
    counts = spec.counts
    assert ids[TRAIN] == set(range(1, counts.train_ids + 1))
    assert ids[QUERY] == ids[GALLERY]
    assert not ids[TRAIN] & ids[QUERY]
    assert len(ids[QUERY]) == counts.test_ids
    queries = [(s.key.number, s.key.camera) for s in people if split_of(s) == QUERY]
    assert len(set(queries)) == len(queries)
    assert all(gallery_cameras[person] - {camera} for person, camera in queries)


@pytest.mark.parametrize("spec", WORLDS, ids=lambda spec: f"{spec.kind}-{spec.size}")
def test_tracks_keep_to_one_camera_and_move_on_in_time(spec: WorldSpec) -> None:
    tracks: dict[int, list[Shot]] = defaultdict(list)
    for shot in schedule(spec):
        tracks[shot.key.track].append(shot)
    for track in tracks.values():
        assert len({(s.key.kind, s.key.number, s.key.camera) for s in track}) == 1
        gaps = [b.frame - a.frame for a, b in pairwise(track)]
        assert all(10 <= gap <= 25 for gap in gaps)


def test_counts_are_those_of_the_size() -> None:
    spec = WorldSpec("demo", "A", 2)
    kinds = [shot.key.kind for shot in schedule(spec)]
    assert kinds.count("distractor") == 60
    assert kinds.count("junk") == 20
    assert 1300 < kinds.count("person") < 1800
    lone = [s for s in schedule(spec) if s.key.kind != "person"]
    assert all(split_of(shot) == GALLERY for shot in lone)


def test_walkers_reach_cameras_in_the_order_of_the_path() -> None:
    seen: dict[int, dict[int, float]] = defaultdict(dict)
    for shot in schedule(WorldSpec("demo", "A", 2)):
        if shot.key.kind == "person":
            seen[shot.key.number].setdefault(shot.key.camera, shot.time)
    upwards = 0
    for times in seen.values():
        ordered = [times[camera] for camera in sorted(times)]
        assert ordered in (sorted(ordered), sorted(ordered, reverse=True))
        upwards += ordered == sorted(ordered)
    assert 0.5 < upwards / len(seen) < 0.9


@settings(deadline=None, max_examples=50)
@given(
    person=st.sampled_from(["-1", "0000", "0042"]),
    camera=st.integers(1, 6),
    frame=st.integers(0, 9 * 22500 - 1),
    index=st.integers(0, 99),
)
def test_any_frame_of_nine_sessions_has_a_name(
    person: str, camera: int, frame: int, index: int
) -> None:
    found = MARKET.match(file_name(person, camera, frame, index))
    assert found
    assert (int(found[3]) - 1) * 22500 + int(found[4]) == frame
