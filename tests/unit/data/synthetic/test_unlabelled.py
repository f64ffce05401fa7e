"""Unlabelled worlds: the layout of LUPerson, and people whom no labelled world holds."""

import re
from collections import defaultdict
from dataclasses import replace

import numpy as np

from reid.data.synthetic import Kind, WorldSpec, schedule
from reid.data.synthetic.render import scene_of

SMOKE = WorldSpec("smoke", "AB", 1, "unlabelled")
PRETRAIN = WorldSpec("pretrain", "AB", 3, "unlabelled")
SHOTS = {SMOKE: schedule(SMOKE), PRETRAIN: schedule(PRETRAIN)}
LUPERSON = re.compile(r"(\w+)/(\w+)/\1\+\2\+street\d\d\.mp4/(\d{8})_(\d{4})\.jpg")


def test_names_follow_the_grammar_and_say_the_frame() -> None:
    for shots in SHOTS.values():
        assert len({shot.file for shot in shots}) == len(shots)
        for shot in shots:
            found = LUPERSON.fullmatch(shot.file)
            assert found, shot.file
            assert int(found[3]) == shot.frame


def test_objects_of_a_frame_count_from_zero_whoever_they_are() -> None:
    objects = defaultdict(list)
    for shot in SHOTS[PRETRAIN]:
        frame, number = shot.file.removesuffix(".jpg").rsplit("_", 1)
        objects[frame].append(int(number))
    assert all(found == list(range(len(found))) for found in objects.values())
    assert max(map(len, objects.values())) > 1


def test_a_video_has_one_domain_and_its_people_belong_to_it() -> None:
    folders = defaultdict(set)
    for shot in SHOTS[PRETRAIN]:
        folders[shot.file.rsplit("/", 1)[0]].add(shot.key.camera)
        country = {"A": "summerland", "B": "winterland"}[PRETRAIN.part(shot.key.number).domain]
        assert shot.file.startswith(country)
    assert len(folders) == 16
    assert all(len(cameras) == 1 for cameras in folders.values())


def test_counts_are_those_of_the_size() -> None:
    assert 90 < len(SHOTS[SMOKE]) < 160
    shots = SHOTS[PRETRAIN]
    assert 9000 < len(shots) < 12000
    videos = defaultdict(set)
    for shot in shots:
        videos[shot.key.number].add(shot.key.camera)
    assert len(videos) == 2000
    assert set(map(len, videos.values())) == {1, 2}


def test_nobody_of_a_labelled_world_is_met() -> None:
    for domain in "AB":
        unlabelled, labelled = people_of(domain, "unlabelled"), people_of(domain, "colour")
        assert len(unlabelled) == 24
        assert len(labelled) == 20
        assert not unlabelled & labelled


def people_of(domain: str, kind: Kind) -> set[str]:
    """Everybody of a small world in words, without who is whose twin."""
    spec = WorldSpec("smoke", domain, 1, kind)
    keys = [shot.key for shot in schedule(spec) if shot.key.kind == "person"]
    people = map(scene_of(spec).identity, keys)
    return {str(replace(who, twin_of=None, twin_detail=None)) for who in people if who}


def test_a_mixed_world_shows_the_people_of_both_domains() -> None:
    mixed = scene_of(SMOKE)
    for shot in schedule(SMOKE)[::10]:
        alone = WorldSpec("smoke", SMOKE.part(shot.key.number).domain, 1, "unlabelled")
        assert mixed.identity(shot.key) == scene_of(alone).identity(shot.key)
    brightness = defaultdict(list)
    for camera, place in mixed.places.items():
        brightness[SMOKE.part(camera).domain].append(np.asarray(place.background).mean())
    assert np.mean(brightness["A"]) > np.mean(brightness["B"]) + 30
