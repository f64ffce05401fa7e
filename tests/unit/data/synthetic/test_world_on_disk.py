import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reid.data.synthetic import (
    GENERATOR_VERSION,
    WorldSpec,
    build_world,
    render,
    render_image,
    schedule,
)
from reid.data.synthetic.figure import paint_person
from reid.data.synthetic.person import Identity
from reid.data.synthetic.render import Rendering, scene_of
from reid.data.synthetic.skeleton import View
from reid.errors import DataError, ParamsError

SPEC = WorldSpec("smoke", "A", 1)
BY_FILE = {shot.file: shot for shot in schedule(SPEC)}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("world") / "smoke"
    build_world(SPEC, root)
    return root


def files(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.resize((16, 32)), dtype=np.float64)


def test_images_are_those_of_the_schedule_and_have_its_shape(world: Path) -> None:
    written = {name for name in files(world) if name.endswith(".jpg")}
    assert written == set(BY_FILE)
    for name in written:
        with Image.open(world / name) as picture:
            picture.load()
            assert (picture.size, picture.mode) == ((32, 64), "RGB")


def test_no_two_images_have_the_same_bytes(world: Path) -> None:
    digests = [hashlib.sha256(data).digest() for data in files(world).values()]
    assert len(set(digests)) == len(digests)


def test_files_do_not_depend_on_the_number_of_workers(world: Path, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    build_world(SPEC, tmp_path / "again", 2, lambda done, total: calls.append((done, total)))
    assert files(tmp_path / "again") == files(world)
    assert calls[-1] == (len(BY_FILE), len(BY_FILE))
    assert calls == sorted(calls)


def test_an_image_alone_equals_its_file(world: Path) -> None:
    scene_of.cache_clear()
    for name in sorted(BY_FILE, reverse=True)[::10]:
        with Image.open(world / name) as picture:
            alone = np.asarray(render_image(SPEC, BY_FILE[name].key))
            assert (alone == np.asarray(picture)).all()


def test_facts_of_each_file_are_recorded(world: Path) -> None:
    synth = json.loads((world / "synth.json").read_text())
    assert synth["seed"] == 1
    assert synth["generator_version"] == GENERATOR_VERSION
    assert synth["images"] == len(BY_FILE)
    attributes = json.loads((world / "synth_attributes.json").read_text())
    assert set(attributes) == set(BY_FILE)
    for name, facts in attributes.items():
        shot = BY_FILE[name]
        assert facts["time"] == shot.time
        assert facts["track"] == shot.key.track
        assert facts["occluded"] == (facts["occ_fraction"] > 0.10)
        if shot.key.kind == "junk":
            assert (facts["view"], facts["attrs"]) == (-1, {})
        else:
            assert facts["view"] in (0, 1, 2)
            assert {"upper", "pattern", "bag", "twin_of", "twin_detail"} <= set(facts["attrs"])


def test_a_former_world_is_replaced_and_anything_else_is_refused(
    world: Path, tmp_path: Path
) -> None:
    root = tmp_path / "world"
    root.mkdir()
    (root / "letter.txt").write_text("keep me")
    with pytest.raises(DataError, match=r"world holds files but no synth\.json; expected an empty"):
        build_world(SPEC, root)
    assert (root / "letter.txt").read_text() == "keep me"
    (root / "letter.txt").rename(root / "synth.json")
    build_world(SPEC, root)
    assert files(root) == files(world)


def test_no_workers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="workers 0; expected at least 1"):
        build_world(SPEC, tmp_path / "world", workers=0)


def test_distance_grows_from_track_to_camera_to_person(world: Path) -> None:
    people = [shot for shot in BY_FILE.values() if shot.key.kind == "person"]
    pictures = np.stack([pixels(world / shot.file).ravel() for shot in people])
    person = np.array([shot.key.number for shot in people])
    track = np.array([shot.key.track for shot in people])
    distance = np.sqrt(((pictures[:, None] - pictures[None]) ** 2).mean(-1))
    pair = np.triu(np.ones_like(distance, dtype=bool), 1)
    same_person, same_track = person[:, None] == person, track[:, None] == track
    within = np.median(distance[pair & same_track])
    across = np.median(distance[pair & same_person & ~same_track])
    others = np.median(distance[pair & ~same_person])
    assert within < across < others


def test_people_fill_a_sensible_share_of_the_frame() -> None:
    shots = schedule(WorldSpec("demo", "A", 2))
    scene = scene_of(WorldSpec("demo", "A", 2))
    people = [shot.key for shot in shots if shot.key.kind == "person"]
    shown: list[Rendering] = [scene.render(key) for key in people[::12]]
    areas = np.array([image.person_area for image in shown if image.occ_fraction == 0])
    assert ((areas > 0.08) & (areas < 0.45)).mean() >= 0.95
    covered = np.array([image.occluded for image in shown])
    assert 0.02 < covered.mean() < 0.25


def test_junk_shows_little_of_anybody(monkeypatch: pytest.MonkeyPatch) -> None:
    shares: list[float] = []

    def paint(who: Identity, view: View, height: int) -> Image.Image:
        painted = paint_person(who, view, height)
        whole = paint_person(who, replace(view, centre=height / 2, top=height / 4), 2 * height)
        shares.append(np.count_nonzero(painted) / np.count_nonzero(whole))
        return painted

    monkeypatch.setattr(render, "paint_person", paint)
    for domain in "AB":
        spec = WorldSpec("bench", domain, 0)
        scene = render.Scene(spec)
        for shot in schedule(spec):
            if shot.key.kind == "junk":
                scene.render(shot.key)
    assert 30 < len(shares) < 90, "about half of the 120 are empty"
    assert max(shares) < 0.30
    assert np.median(shares) > 0.05
