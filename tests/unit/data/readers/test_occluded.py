"""The grammars of Occluded-REID and Partial-REID, and their pseudo cameras."""

import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reid.data.readers.occluded import (
    OCCLUDED,
    PARTIAL,
    Layout,
    judge,
    read_occluded_reid,
    read_partial_reid,
)
from reid.data.readers.reading import BAD_NAME, NOT_AN_IMAGE, OTHER_FOLDER, Reading, Row
from reid.data.storage import open_storage
from reid.errors import DataError

FILES = {
    OCCLUDED: (
        "occluded_body_images/001/001_01.tif",
        "occluded_body_images/030/030_02.TIF",
        "whole_body_images/001/001_01.tif",
    ),
    PARTIAL: (
        "partial_body_images/001_001.jpg",
        "partial_body_images/044_002.JPG",
        "whole_body_images/001_001.jpg",
    ),
}
SUFFIX = {OCCLUDED: "tif", PARTIAL: "jpg"}
both = pytest.mark.parametrize("layout", [OCCLUDED, PARTIAL], ids=lambda layout: layout.key)


def make(root: Path, layout: Layout, *paths: str) -> Path:
    for path in (*FILES[layout], *paths):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return root


def read(root: Path, layout: Layout) -> Reading:
    reader = read_occluded_reid if layout is OCCLUDED else read_partial_reid
    return reader(open_storage(root))


@settings(max_examples=50, deadline=None)
@given(
    layout=st.sampled_from([OCCLUDED, PARTIAL]),
    hidden=st.booleans(),
    pid=st.integers(0, 9999),
    number=st.integers(0, 9999),
    digits=st.integers(1, 4),
)
def test_name_and_folder_carry_person_and_role(
    layout: Layout, hidden: bool, pid: int, number: int, digits: int
) -> None:
    side = layout.query_folder if hidden else "whole_body_images"
    between = f"{pid:03d}/" if layout is OCCLUDED else ""
    row = judge(f"{side}/{between}{pid:0{digits}d}_{number:0{digits}d}.{SUFFIX[layout]}", layout)
    assert isinstance(row, Row)
    assert row.pid == pid
    assert (row.split, row.camid, row.occluded) == (
        ("query", 0, True) if hidden else ("gallery", 1, False)
    )
    word = {OCCLUDED: "occluded", PARTIAL: "partial"}[layout]
    assert row.cam_raw == (word if hidden else "whole")


@both
@pytest.mark.parametrize(
    "name",
    [
        "00001_01.{}",
        "001_00001.{}",
        "001.{}",
        "001_.{}",
        "a001_01.{}",
        "001_01.{}.bak",
        "001_01.{}\n",
        "001-01.{}",
        "-1_01.{}",
        "001_01_02.{}",
        "001_01.png",
        "\u0660\u0660\u0661_01.{}",
    ],
)
def test_name_is_matched_as_a_whole(layout: Layout, name: str) -> None:
    folder = layout.like.rpartition("/")[0]
    assert isinstance(judge(f"{folder}/001_01.{SUFFIX[layout]}", layout), Row)
    assert judge(f"{folder}/{name.format(SUFFIX[layout])}", layout) == BAD_NAME


@both
def test_the_other_data_set_has_another_suffix(layout: Layout) -> None:
    other = {"tif": "jpg", "jpg": "tif"}[SUFFIX[layout]]
    assert judge(f"{layout.like.rpartition('/')[0]}/001_01.{other}", layout) == BAD_NAME


@both
def test_images_elsewhere_have_no_part_in_the_protocol(tmp_path: Path, layout: Layout) -> None:
    depth = "a/b" if layout is OCCLUDED else "a"
    other = {"occluded_reid": "partial", "partial_reid": "occluded"}[layout.key]
    name = f"001_01.{SUFFIX[layout]}"
    home = f"Data/{layout.key}"
    odd = f"{home}/{layout.like.rpartition('/')[0]}/odd.jpg"
    elsewhere = [
        f"{home}/{other}_body_images/001/{name}",
        f"{home}/whole_body_images/{depth}/{name}",
        f"{home}/{name}",
    ]
    make(tmp_path / home, layout)
    for path in (*elsewhere, odd, f"{home}/readme.txt"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    reading = read(tmp_path, layout)
    assert {file.path: file.reason for file in reading.ignored} == {
        **dict.fromkeys(elsewhere, OTHER_FOLDER),
        odd: BAD_NAME,
        f"{home}/readme.txt": NOT_AN_IMAGE,
    }
    assert reading.unlisted == (odd,)
    assert [row.path for row in reading.rows] == [f"{home}/{path}" for path in FILES[layout]]
    assert (reading.layout, reading.benchmark) == (layout.key, layout.key)
    assert reading.camera_count == 2
    assert {row.camid for row in reading.rows} == {0, 1}


@both
def test_a_missing_or_an_empty_folder_is_an_error(tmp_path: Path, layout: Layout) -> None:
    with pytest.raises(DataError, match=f"expected {layout.query_folder}, whole_body_im"):
        read(tmp_path, layout)
    make(tmp_path, layout, "whole_body_images/readme.txt")
    (tmp_path / FILES[layout][-1]).unlink()
    with pytest.raises(DataError, match=f"split gallery; expected names such as {layout.like}"):
        read(tmp_path, layout)


@both
def test_an_archive_gives_the_same_rows(tmp_path: Path, layout: Layout) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for path in FILES[layout]:
            archive.writestr(path, b"")
    assert read(tmp_path / "all.zip", layout) == read(make(tmp_path / "root", layout), layout)
