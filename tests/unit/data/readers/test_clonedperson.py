"""The grammar of ClonedPerson, and cameras that are ranks of scene and camera."""

import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reid.data.readers.clonedperson import judge, rank_cameras, read_clonedperson
from reid.data.readers.reading import BAD_NAME, NOT_AN_IMAGE, OTHER_FOLDER, Reading, Row
from reid.data.storage import open_storage
from reid.errors import DataError

FILES = (
    "test/gallery/705227_s12_c02_f025410.jpg",
    "test/query/705227_s02_c03_f010345.png",
    "train/700000_s02_c00_f013907.jpg",
    "train/700000_s06_c01_f000024.JPG",
)


def make(root: Path, *paths: str) -> Path:
    for path in (*FILES, *paths):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return root


def read(root: Path) -> Reading:
    return read_clonedperson(open_storage(root))


@settings(max_examples=50, deadline=None)
@given(
    folder=st.sampled_from(["train", "test/query", "test/gallery"]),
    pid=st.integers(0, 999_999),
    scene=st.integers(0, 99),
    camera=st.integers(0, 99),
    frame=st.integers(0, 999_999),
)
def test_path_carries_every_field(
    folder: str, pid: int, scene: int, camera: int, frame: int
) -> None:
    raw = f"s{scene:02d}c{camera:02d}"
    path = f"{folder}/{pid:06d}_s{scene:02d}_c{camera:02d}_f{frame:06d}.jpg"
    row = judge(path, {raw: 17})
    assert isinstance(row, Row)
    assert row.split == folder.rpartition("/")[2]
    assert (row.pid, row.session, row.frame) == (pid, str(scene), frame)
    assert (row.camid, row.cam_raw, row.timestamp) == (17, raw, frame / 24)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)), max_size=20))
def test_a_camera_is_the_rank_of_scene_and_camera(pairs: list[tuple[int, int]]) -> None:
    paths = [f"train/700000_s{scene:02d}_c{camera:02d}_f000001.jpg" for scene, camera in pairs]
    every = sorted(set(pairs))
    assert rank_cameras([*paths, "test/700000_s99_c99_f000001.jpg", "train/a.jpg"]) == {
        f"s{scene:02d}c{camera:02d}": every.index((scene, camera)) for scene, camera in pairs
    }


@pytest.mark.parametrize("name", ["700000_s2_c00_f013907.jpg", "700000_s02_c00_f013907.jpg\n"])
def test_name_is_matched_as_a_whole(name: str) -> None:
    assert judge(f"train/{name}", {}) == BAD_NAME


def test_scenes_keep_their_own_cameras_in_all_splits(tmp_path: Path) -> None:
    home = "ClonedPerson/"
    make(tmp_path / home, "test/705227_s02_c03_f010345.jpg", "train/a.jpg", "readme.md")
    reading = read(tmp_path)
    assert {row.path: row.camid for row in reading.rows} == {
        f"{home}{path}": camid for path, camid in zip(FILES, (3, 1, 0, 2), strict=True)
    }
    assert {file.path: file.reason for file in reading.ignored} == {
        f"{home}test/705227_s02_c03_f010345.jpg": OTHER_FOLDER,
        f"{home}train/a.jpg": BAD_NAME,
        f"{home}readme.md": NOT_AN_IMAGE,
    }
    assert reading.unlisted == (f"{home}train/a.jpg",)
    assert (reading.benchmark, reading.camera_count) == ("clonedperson", 24)
    assert [row.timestamp for row in reading.rows][-1] == 1.0


def test_a_missing_folder_or_an_empty_split_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected train, test/query, test/gallery"):
        read(tmp_path)
    make(tmp_path, "test/query/readme.txt")
    (tmp_path / FILES[1]).unlink()
    with pytest.raises(DataError, match="no image of the split query; expected names such as"):
        read(tmp_path)


def test_an_archive_gives_the_same_rows(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for path in FILES:
            archive.writestr(path, b"")
    assert read(tmp_path / "all.zip") == read(make(tmp_path / "root"))
