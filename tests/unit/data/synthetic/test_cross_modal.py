"""Infrared light and the layout of SYSU-MM01."""

import json
import re
from collections import defaultdict
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.io import loadmat

from reid.data.synthetic import INFRARED_CAMERAS, WorldSpec, build_world, render_image, schedule
from reid.data.synthetic.infrared import infrared_palette, reflectances, tied_reflectance
from reid.data.synthetic.paint import Material
from reid.data.synthetic.palette import CLOTH, Colour
from reid.data.synthetic.person import Identity, stranger
from reid.data.synthetic.render import scene_of
from reid.data.synthetic.twins import person

SPEC = WorldSpec("smoke", "A", 1, "cross_modal")
UNTIED = WorldSpec("bench", "A", 0, "cross_modal", ir_tie=0.0)
TIED = WorldSpec("bench", "A", 0, "cross_modal", ir_tie=1.0)
RED = Colour("red", (188, 32, 42))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("world") / "sysu"
    build_world(SPEC, root)
    return root


def ids(world: Path, name: str) -> list[int]:
    line = (world / "exp" / f"{name}.txt").read_text()
    assert line.count("\n") == 1
    return [int(number) for number in line.split(",")]


def in_red(number: int) -> Identity:
    return replace(stranger(UNTIED, number), upper=RED, twin_of=None)


def test_lists_of_ids_partition_the_people(world: Path) -> None:
    train, val, test = (ids(world, f"{name}_id") for name in ("train", "val", "test"))
    assert train + val == list(range(1, SPEC.counts.train_ids + 1))
    assert val
    assert test == list(range(13, 21))
    assert ids(world, "available_id") == train + val + test


def test_files_follow_the_grammar_and_number_from_one(world: Path) -> None:
    numbers = defaultdict(list)
    for shot in schedule(SPEC):
        found = re.fullmatch(r"cam([1-6])/(\d{4})/(\d{4})\.jpg", shot.file)
        assert found, shot.file
        camera, person_id, number = map(int, found.groups())
        assert (camera, person_id) == (shot.key.camera, shot.key.number)
        numbers[camera, person_id].append(number)
    assert all(found == list(range(1, len(found) + 1)) for found in numbers.values())


@pytest.mark.parametrize("spec", [SPEC, TIED], ids=lambda spec: spec.size)
def test_everybody_passes_cameras_of_both_spectra(spec: WorldSpec) -> None:
    cameras = defaultdict(set)
    for shot in schedule(spec):
        cameras[shot.key.number].add(shot.key.camera)
    assert len(cameras) == spec.counts.train_ids + spec.counts.test_ids
    for seen in cameras.values():
        infrared = seen & set(INFRARED_CAMERAS)
        assert infrared
        assert len(seen - infrared) >= 2


def test_permutations_name_the_files_of_each_camera_and_person(world: Path) -> None:
    cell = loadmat(world / "exp/rand_perm_cam.mat")["rand_perm_cam"]
    readable = json.loads((world / "exp/rand_perm_cam.json").read_text())
    assert cell.shape == (6, 1)
    different = 0
    for camera in range(1, 7):
        people = cell[camera - 1][0].squeeze()
        assert people.shape == (20,)
        for person_id in range(1, 21):
            folder = world / f"cam{camera}" / f"{person_id:04}"
            wanted = sorted(int(path.stem) for path in folder.glob("*.jpg"))
            trials = people[person_id - 1]
            assert trials.shape == (10, len(wanted))
            assert all(sorted(trial) == wanted for trial in trials.tolist())
            assert trials.tolist() == readable[f"cam{camera}"].get(f"{person_id:04}", [[]] * 10)
            different += len(set(map(tuple, trials.tolist()))) > 1
    assert different > 40


def test_infrared_images_have_three_equal_channels_and_the_others_do_not() -> None:
    for shot in schedule(SPEC)[::9]:
        red, green, blue = np.moveaxis(np.asarray(render_image(SPEC, shot.key)).astype(int), -1, 0)
        grey = shot.key.camera in INFRARED_CAMERAS
        assert ((red == green).all() and (red == blue).all()) == grey


def test_infrared_places_are_equally_bright() -> None:
    for seed in range(5):
        scene = scene_of(WorldSpec("bench", "A", seed, "cross_modal"))
        means = [np.asarray(scene.places[n].background).mean() for n in INFRARED_CAMERAS]
        assert max(means) < 1.6 * min(means)
        assert all(scene.places[n].camera.infrared == (n in INFRARED_CAMERAS) for n in range(1, 7))


def test_clothes_of_one_colour_reflect_differently_unless_tied() -> None:
    loose = [reflectances(UNTIED, in_red(n), "person", n)[Material.UPPER] for n in range(40)]
    assert np.ptp(loose) > 0.5
    tied = {reflectances(TIED, in_red(n), "person", n)[Material.UPPER] for n in range(40)}
    assert tied == {tied_reflectance(RED.rgb)}


def test_equal_colours_of_different_fabric_give_different_pictures() -> None:
    who = in_red(1)
    palettes = {infrared_palette(UNTIED, who, "person", number) for number in range(20)}
    assert len(palettes) == 20
    assert len({infrared_palette(TIED, who, "person", 1), *palettes}) == 21


@settings(deadline=None, max_examples=30)
@given(rgb=st.tuples(*[st.integers(0, 255)] * 3), number=st.integers(1, 300))
def test_a_full_tie_makes_reflectance_a_function_of_colour(
    rgb: tuple[int, int, int], number: int
) -> None:
    who = replace(person(TIED, number), second=Colour("any", rgb))
    seen = reflectances(TIED, who, "person", number)
    assert seen[Material.SECOND] == tied_reflectance(rgb)
    assert seen[Material.LOWER] == tied_reflectance(who.lower.colour.rgb)
    assert 0 < seen[Material.SECOND] < 1


def test_the_tied_part_grows_with_red_and_not_with_brightness() -> None:
    assert tied_reflectance((200, 60, 60)) > tied_reflectance((150, 60, 60)) > 0.5
    assert tied_reflectance((60, 60, 60)) == tied_reflectance((220, 220, 220)) == 0.5
    assert tied_reflectance((60, 60, 200)) < 0.5
    colours = np.array([rgb for _, rgb in CLOTH])
    tied = [tied_reflectance(rgb) for _, rgb in CLOTH]
    assert abs(np.corrcoef(colours @ (0.299, 0.587, 0.114), tied)[0, 1]) < 0.5


def test_many_patterns_vanish_and_some_survive() -> None:
    people = [(n, stranger(UNTIED, n)) for n in range(300)]
    seen = [reflectances(UNTIED, who, "person", n) for n, who in people]
    vanished = np.mean([one[Material.UPPER] == one[Material.SECOND] for one in seen])
    assert 0.5 < vanished < 0.7


def test_twins_wear_the_same_fabrics_but_for_what_was_changed() -> None:
    compared = 0
    for number in range(1, 301):
        who = person(UNTIED, number)
        if who.twin_of and who.twin_detail in ("shoes", "lower"):
            twin = reflectances(UNTIED, who, "person", number)
            original = reflectances(UNTIED, person(UNTIED, who.twin_of), "person", who.twin_of)
            changed = Material[who.twin_detail.upper()]
            assert twin.pop(changed) != original.pop(changed)
            assert twin == original
            compared += 1
    assert compared > 3


def test_colour_cameras_do_not_see_the_tie() -> None:
    untied, tied = scene_of(UNTIED), scene_of(TIED)
    keys = [shot.key for shot in schedule(UNTIED)[::400] if shot.key.kind == "person"]
    for key in keys:
        same = untied.render(key).jpeg == tied.render(key).jpeg
        assert same == (key.camera not in INFRARED_CAMERAS)


def test_infrared_noise_is_grey() -> None:
    key = next(s.key for s in schedule(SPEC) if s.key.camera == INFRARED_CAMERAS[0])
    with Image.open(BytesIO(scene_of(SPEC).render(key).jpeg)) as picture:
        hsv = np.asarray(picture.convert("HSV"))
    assert (hsv[..., 1] == 0).all()
