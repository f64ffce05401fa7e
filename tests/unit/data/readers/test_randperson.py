"""The grammar of RandPerson, and its cameras and time over all scenes."""

import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reid.data.readers.randperson import (
    CAMERA_COUNT,
    FIRST_CAMERA,
    FIRST_FRAME,
    NAME,
    is_randperson,
    judge,
    read_randperson,
)
from reid.data.readers.reading import BAD_NAME, NOT_AN_IMAGE, OTHER_FOLDER, Reading, Row
from reid.data.storage import open_storage
from reid.errors import DataError

CAMERAS_PER_SCENE = (2, 2, 2, 2, 1, 1, 2, 1, 1, 1, 4)
PAIRS = [(scene, cam) for scene, count in enumerate(CAMERAS_PER_SCENE) for cam in range(count)]
FILES = ("000000_s00_c01_f039796.jpg", "007999_s10_c03_f002093.PNG")


def make(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return root


def read(root: Path) -> Reading:
    return read_randperson(open_storage(root))


@settings(max_examples=50, deadline=None)
@given(
    pid=st.integers(0, 999_999),
    pair=st.sampled_from(PAIRS),
    frame=st.integers(0, 999_999),
    suffix=st.sampled_from([".jpg", ".png", ".JPG"]),
)
def test_name_carries_every_number(
    pid: int, pair: tuple[int, int], frame: int, suffix: str
) -> None:
    scene, camera = pair
    row = judge(f"{pid:06d}_s{scene:02d}_c{camera:02d}_f{frame:06d}{suffix}")
    assert isinstance(row, Row)
    assert (row.split, row.pid, row.session, row.frame) == ("train", pid, str(scene), frame)
    assert (row.camid, row.cam_raw) == (PAIRS.index(pair), f"s{scene:02d}c{camera:02d}")
    assert row.timestamp == (FIRST_FRAME[scene] + frame) / 24


def test_cameras_are_numbered_without_gap_and_scenes_follow_one_another() -> None:
    assert len(PAIRS) == CAMERA_COUNT
    assert [PAIRS.index((scene, 0)) for scene in range(11)] == list(FIRST_CAMERA)
    assert sorted(set(FIRST_FRAME)) == list(FIRST_FRAME)
    row = judge("000000_s03_c01_f117474.jpg")
    assert isinstance(row, Row)
    assert (row.camid, row.timestamp) == (7, (490_000 + 117_474) / 24)


@pytest.mark.parametrize(
    "name",
    [
        "00000_s00_c01_f039796.jpg",
        "0000000_s00_c01_f039796.jpg",
        "000000_s0_c01_f039796.jpg",
        "000000_s00_c1_f039796.jpg",
        "000000_s00_c01_f39796.jpg",
        "000000_s00_c01_f0039796.jpg",
        "000000_S00_c01_f039796.jpg",
        "000000_s00_c01_f039796.jpeg",
        "000000_s00_c01_f039796.jpg\n",
        "000000_s00_c01_f039796.jpg.bak",
        "x000000_s00_c01_f039796.jpg",
        "\u066000000_s00_c01_f039796.jpg",
    ],
)
def test_name_is_matched_as_a_whole(name: str) -> None:
    assert NAME.fullmatch(name) is None
    assert judge(name) == BAD_NAME


@pytest.mark.parametrize(("scene", "camera"), [(4, 1), (0, 2), (10, 4), (11, 0), (99, 99)])
def test_a_camera_that_the_scene_has_not_is_not_taken_for_another(scene: int, camera: int) -> None:
    assert judge(f"000000_s{scene:02d}_c{camera:02d}_f000001.jpg") == BAD_NAME


@pytest.mark.parametrize("home", ["", "randperson_subset/", "RandPerson/randperson_subset/"])
def test_the_folder_of_images_may_be_the_root(tmp_path: Path, home: str) -> None:
    paths = [home + name for name in FILES]
    make(tmp_path, *paths)
    assert is_randperson(paths)
    reading = read(tmp_path)
    assert [row.path for row in reading.rows] == paths
    assert (reading.benchmark, reading.camera_count) == ("randperson", 19)
    assert reading.ethics is not None
    assert reading.ethics.consent == "synthetic"


def test_other_files_are_ignored_with_a_reason(tmp_path: Path) -> None:
    home = "randperson_subset/"
    make(tmp_path, home + FILES[0], f"{home}deep/{FILES[0]}", f"{home}readme.txt", f"{home}a.jpg")
    reading = read(tmp_path)
    assert {file.path: file.reason for file in reading.ignored} == {
        f"{home}deep/{FILES[0]}": OTHER_FOLDER,
        f"{home}readme.txt": NOT_AN_IMAGE,
        f"{home}a.jpg": BAD_NAME,
    }
    assert reading.warnings == (f"{home}a.jpg: ignored, {BAD_NAME}",)


def test_a_folder_of_clonedperson_is_not_taken_for_randperson() -> None:
    assert not is_randperson(["700000_s02_c00_f013907.jpg", "700000_s12_c02_f011998.jpg"])
    assert is_randperson([*FILES, "preview.jpg"])


def test_no_image_is_an_error(tmp_path: Path) -> None:
    make(tmp_path, "randperson_subset/readme.txt")
    with pytest.raises(DataError, match="no image of the split train; expected names such as rand"):
        read(tmp_path)


def test_an_archive_gives_the_same_rows(tmp_path: Path) -> None:
    paths = [f"randperson_subset/{name}" for name in FILES]
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for path in paths:
            archive.writestr(path, b"")
    assert read(tmp_path / "all.zip") == read(make(tmp_path / "root", *paths))
