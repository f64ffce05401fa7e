"""What holds for a world of any kind: equal bytes, images that stand alone, facts for each file."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reid.data.synthetic import WorldSpec, build_world, render_image, schedule
from reid.data.synthetic.render import scene_of

SPECS = {
    "occluded": WorldSpec("smoke", "A", 1, "occluded"),
    "cross_modal": WorldSpec("smoke", "A", 1, "cross_modal"),
    "unlabelled": WorldSpec("smoke", "AB", 1, "unlabelled"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("worlds")


@pytest.fixture(scope="module", params=SPECS)
def spec(request: pytest.FixtureRequest, folder: Path) -> WorldSpec:
    spec = SPECS[request.param]
    build_world(spec, folder / spec.kind)
    return spec


def files(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_files_do_not_depend_on_the_number_of_workers(
    spec: WorldSpec, folder: Path, tmp_path: Path
) -> None:
    workers = 4 if spec.kind == "cross_modal" else 2
    build_world(spec, tmp_path / "again", workers)
    assert files(tmp_path / "again") == files(folder / spec.kind)


def test_an_image_alone_equals_its_file(spec: WorldSpec, folder: Path) -> None:
    scene_of.cache_clear()
    for shot in schedule(spec)[::-7]:
        with Image.open(folder / spec.kind / shot.file) as picture:
            assert (picture.size, picture.mode) == ((32, 64), "RGB")
            assert (np.asarray(render_image(spec, shot.key)) == np.asarray(picture)).all()


def test_the_schedule_names_every_image_once(spec: WorldSpec, folder: Path) -> None:
    shots = schedule(spec)
    root = folder / spec.kind
    assert sorted(shot.file for shot in shots) == sorted(
        str(path.relative_to(root)) for path in root.rglob("*.jpg")
    )
    assert len({shot.key for shot in shots}) == len(shots)


def test_the_world_records_its_kind_and_what_each_image_shows(
    spec: WorldSpec, folder: Path
) -> None:
    root = folder / spec.kind
    world = json.loads((root / "synth.json").read_text())
    assert (world["kind"], world["ir_tie"]) == (spec.kind, spec.ir_tie)
    assert world["images"] == len(schedule(spec))
    attributes = json.loads((root / "synth_attributes.json").read_text())
    times = {shot.file: shot.time for shot in schedule(spec)}
    assert {file: facts["time"] for file, facts in attributes.items()} == times
    common = {"view", "occluded", "occ_fraction", "time"}
    wanted = common | {"track", "attrs"} if spec.labelled else common
    assert all(set(facts) == wanted for facts in attributes.values())
