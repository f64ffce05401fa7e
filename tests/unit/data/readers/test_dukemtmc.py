"""The grammar of the Duke family, its lists, and that no layout takes another for its own."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reid.data.readers.clonedperson import is_clonedperson
from reid.data.readers.cuhk03_np import is_cuhk03_np
from reid.data.readers.dukemtmc import (
    ETHICS,
    NAME,
    is_dukemtmcreid,
    is_occluded_duke,
    judge,
    read_dukemtmcreid,
    read_occluded_duke,
)
from reid.data.readers.market1501 import is_market1501
from reid.data.readers.msmt17 import is_msmt17
from reid.data.readers.occluded import is_occluded_reid, is_partial_reid
from reid.data.readers.randperson import is_randperson
from reid.data.readers.reading import (
    BAD_NAME,
    LIST_FILE,
    NOT_AN_IMAGE,
    OTHER_FOLDER,
    SIDECAR,
    UNLISTED,
    Reading,
    Row,
)
from reid.data.storage import open_storage
from reid.errors import DataError

TREE = (
    "bounding_box_test/0005_c1_f0000300.jpg",
    "bounding_box_train/0001_c2_f0000100.jpg",
    "query/0005_c8_f0000200.jpg",
)
LISTS = {
    "train.list": "0001_c2_f0000100.jpg\n",
    "query.list": "0005_c8_f0000200.jpg",
    "gallery.list": "0005_c1_f0000300.jpg\r\n",
}


def make(root: Path, *paths: str, lists: dict[str, str] | None = None) -> Path:
    for path in (*TREE, *paths):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    for name, text in (lists or {}).items():
        (root / name).write_text(text, newline="")
    return root


def duke(root: Path) -> Reading:
    return read_dukemtmcreid(open_storage(root))


def occluded(root: Path) -> Reading:
    return read_occluded_duke(open_storage(root))


def reasons(reading: Reading) -> dict[str, str]:
    return {file.path: file.reason for file in reading.ignored}


@settings(max_examples=50, deadline=None)
@given(
    pid=st.integers(0, 9999),
    camera=st.integers(0, 9),
    frame=st.integers(0, 9_999_999),
    suffix=st.sampled_from([".jpg", ".JPG", ".jPg"]),
    folder=st.sampled_from(["bounding_box_train", "query", "bounding_box_test"]),
)
def test_name_carries_every_number(
    pid: int, camera: int, frame: int, suffix: str, folder: str
) -> None:
    row = judge(f"{folder}/{pid:04d}_c{camera}_f{frame:07d}{suffix}")
    assert isinstance(row, Row)
    assert (row.pid, row.camid, row.cam_raw, row.frame) == (pid, camera - 1, str(camera), frame)
    assert (row.flag, row.timestamp, row.occluded, row.session) == ("ok", None, None, None)
    splits = {"bounding_box_train": "train", "query": "query", "bounding_box_test": "gallery"}
    assert row.split == splits[folder]


@pytest.mark.parametrize(
    "name",
    [
        "001_c2_f0000100.jpg",
        "00001_c2_f0000100.jpg",
        "0001_c12_f0000100.jpg",
        "0001_c2_f000100.jpg",
        "0001_c2_f00000100.jpg",
        "x0001_c2_f0000100.jpg",
        "0001_c2_f0000100.jpg.bak",
        "0001_c2_f0000100.jpg\n",
        "0001_C2_f0000100.jpg",
        "0001_c2_F0000100.jpg",
        "0001_c2_f0000100.jpeg",
        "0001_c2_f0000100.png",
        "-1_c2_f0000100.jpg",
        "0001_c2s1_000100_01.jpg",
        "\u0660\u0660\u0660\u0661_c2_f0000100.jpg",
    ],
)
def test_name_is_matched_as_a_whole(name: str) -> None:
    assert NAME.fullmatch(name) is None
    assert judge(f"query/{name}") == BAD_NAME


def test_duke_is_read_and_marked_as_withdrawn(tmp_path: Path) -> None:
    make(
        tmp_path / "dukemtmc-reid/DukeMTMC-reID",
        "README.md",
        "query/odd.jpg",
        "query/._0005_c8_f0000200.jpg",
        "extra/0005_c8_f0000200.jpg",
        "0005_c8_f0000200.jpg",
    )
    reading = duke(tmp_path)
    home = "dukemtmc-reid/DukeMTMC-reID/"
    assert [row.path for row in reading.rows] == [home + path for path in TREE]
    assert reasons(reading) == {
        f"{home}README.md": NOT_AN_IMAGE,
        f"{home}query/odd.jpg": BAD_NAME,
        f"{home}query/._0005_c8_f0000200.jpg": SIDECAR,
        f"{home}extra/0005_c8_f0000200.jpg": OTHER_FOLDER,
        f"{home}0005_c8_f0000200.jpg": OTHER_FOLDER,
    }
    assert reading.unlisted == (f"{home}query/odd.jpg",)
    assert reading.warnings == (f"{home}query/odd.jpg: ignored, {BAD_NAME}",)
    assert (reading.benchmark, reading.camera_count) == ("dukemtmcreid", 8)
    assert reading.ethics == ETHICS
    assert (ETHICS.status, ETHICS.consent) == ("withdrawn", "no")


def test_only_listed_images_of_occluded_duke_are_used(tmp_path: Path) -> None:
    stray = "bounding_box_train/0001_c3_f0000100.jpg"
    reading = occluded(make(tmp_path, stray, "query/odd.jpg", lists=LISTS))
    assert [row.path for row in reading.rows] == list(TREE)
    assert {row.split: row.occluded for row in reading.rows} == {
        "gallery": None,
        "train": None,
        "query": True,
    }
    assert reasons(reading) == {
        **dict.fromkeys(LISTS, LIST_FILE),
        stray: UNLISTED,
        "query/odd.jpg": BAD_NAME,
    }
    assert reading.unlisted == (stray, "query/odd.jpg")
    assert reading.warnings[0] == f"{stray}: ignored, {UNLISTED}"
    assert reading.benchmark == "occluded_duke"
    assert reading.ethics == ETHICS


def test_a_missing_list_or_listed_image_is_named(tmp_path: Path) -> None:
    make(tmp_path, lists={name: text for name, text in LISTS.items() if name != "query.list"})
    with pytest.raises(DataError, match=r"no file query\.list"):
        occluded(tmp_path)
    make(tmp_path, lists={**LISTS, "query.list": "0005_c8_f0000200.jpg\n0005_c7_f0000200.jpg\n"})
    message = r"no file query/0005_c7_f0000200\.jpg; expected every image in query\.list\. "
    with pytest.raises(DataError, match=message) as raised:
        occluded(tmp_path)
    assert "\n" not in str(raised.value)
    (tmp_path / "query/0005_c7_f0000200.jpg").touch()
    assert len(list(occluded(tmp_path).rows)) == len(TREE) + 1


@pytest.mark.parametrize("read", [duke, occluded])
def test_a_missing_folder_or_an_empty_split_is_an_error(
    tmp_path: Path, read: Callable[[Path], Reading]
) -> None:
    with pytest.raises(DataError, match="expected bounding_box_train, query, bounding_box_t"):
        read(tmp_path)
    make(tmp_path, "query/odd.jpg", lists={**LISTS, "query.list": ""})
    (tmp_path / TREE[2]).unlink()
    with pytest.raises(DataError, match="no image of the split query; expected names such as"):
        read(tmp_path)


@pytest.mark.parametrize("read", [duke, occluded])
def test_an_archive_gives_the_same_rows(tmp_path: Path, read: Callable[[Path], Reading]) -> None:
    root = make(tmp_path / "root", lists=LISTS)
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for path in (*TREE, *LISTS):
            archive.writestr(path, (root / path).read_bytes())
    assert read(tmp_path / "all.zip") == read(root)


# One outline per layout; all but the last five have bounding_box_train in common.
OUTLINES = {
    is_dukemtmcreid: [f"DukeMTMC-reID/{path}" for path in TREE],
    is_occluded_duke: [*TREE, *LISTS],
    is_market1501: [
        "bounding_box_test/0003_c2s1_000300_01.jpg",
        "bounding_box_train/0002_c1s1_000100_01.jpg",
        "query/0003_c1s1_000200_00.jpg",
    ],
    is_msmt17: [
        "MSMT17/bounding_box_test/0000_c05_0037.jpg",
        "MSMT17/bounding_box_train/0000_c12_0032.jpg",
        "MSMT17/query/0000_c15_0001.jpg",
    ],
    is_cuhk03_np: [
        "cuhk03-np/labeled/bounding_box_test/0003_c1_17.png",
        "cuhk03-np/labeled/bounding_box_train/0001_c1_1.png",
        "cuhk03-np/labeled/query/0003_c2_7.png",
    ],
    is_clonedperson: [
        "test/gallery/705227_s02_c00_f028965.jpg",
        "test/query/705227_s02_c01_f010345.jpg",
        "train/700000_s02_c00_f013907.jpg",
    ],
    is_randperson: ["randperson_subset/000000_s00_c01_f039796.jpg"],
    is_occluded_reid: [
        "Occluded_REID/occluded_body_images/001/001_01.tif",
        "Occluded_REID/whole_body_images/001/001_01.tif",
    ],
    is_partial_reid: [
        "Partial_REID/occluded_body_images/001_001.jpg",
        "Partial_REID/partial_body_images/001_001.jpg",
        "Partial_REID/whole_body_images/001_001.jpg",
    ],
}


@pytest.mark.parametrize("own", OUTLINES, ids=lambda matches: matches.__name__)
def test_each_layout_is_recognised_by_its_reader_alone(own: Callable[..., bool]) -> None:
    assert [matches for matches in OUTLINES if matches(OUTLINES[own])] == [own]


@pytest.mark.parametrize("paths", [[], ["a.jpg", "0001_c2_f0000100.jpg"], [*TREE[:2]], [TREE[1]]])
def test_other_files_are_not_recognised(paths: list[str]) -> None:
    assert not [matches for matches in OUTLINES if matches(paths)]
