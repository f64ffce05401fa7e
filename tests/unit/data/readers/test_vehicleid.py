"""VehicleID: which list an image is in is all that is known."""

import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reid.data.readers.reading import (
    BAD_NAME,
    LABEL_FILE,
    LIST_FILE,
    NOT_AN_IMAGE,
    OTHER_FOLDER,
    SIDECAR,
    UNLISTED,
)
from reid.data.readers.vehicleid import NAME, OTHER_TEST, is_vehicleid, read_vehicleid
from reid.data.storage import open_storage
from reid.errors import DataError, ParamsError

FILES = {
    "image/0000001.jpg": "",
    "image/0000002.jpg": "",
    "image/0000003.JPG": "",
    "image/0000004.jpg": "",
    "train_test_split/train_list.txt": "0000001 12",
    "train_test_split/test_list_800.txt": "0000002 7\n0000003 7\n",
    "train_test_split/test_list_13164.txt": "0000002 7\n0000004 9\n",
}
SPLITS = "train_test_split"


def make(root: Path, *paths: str, **lists: str) -> Path:
    texts = {f"{SPLITS}/{name}.txt": text for name, text in lists.items()}
    for path, text in {**FILES, **dict.fromkeys(paths, ""), **texts}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


@settings(max_examples=50, deadline=None)
@given(number=st.integers(0, 10**7 - 1), suffix=st.sampled_from([".jpg", ".JPG", ".Jpg"]))
def test_a_name_is_seven_digits(number: int, suffix: str) -> None:
    match = NAME.fullmatch(f"image/{number:07}{suffix}")
    assert match is not None
    assert match["stem"] == f"{number:07}"


@pytest.mark.parametrize(
    "path",
    [
        "image/000001.jpg",
        "image/00000001.jpg",
        "image/0000001.png",
        "image/0000001.jpg\n",
        "image/x000001.jpg",
        "image/deep/0000001.jpg",
        "0000001.jpg",
        "image/000000\u0661.jpg",
    ],
)
def test_a_path_is_matched_as_a_whole(path: str) -> None:
    assert NAME.fullmatch(path) is None


@pytest.mark.parametrize("home", ["", "VehicleID_V1.0/"])
def test_lists_give_split_and_vehicle(tmp_path: Path, home: str) -> None:
    make(tmp_path / home)
    reading = read_vehicleid(open_storage(tmp_path))
    rows = {row.path.removeprefix(f"{home}image/"): row for row in reading.rows}
    assert {name: (row.split, row.pid) for name, row in rows.items()} == {
        "0000001.jpg": ("train", 12),
        "0000002.jpg": ("test_pool", 7),
        "0000003.JPG": ("test_pool", 7),
    }
    assert {(row.object, row.camid, row.cam_raw) for row in rows.values()} == {
        ("vehicle", None, None)
    }
    assert reading.benchmark == "vehicleid_800"
    assert reading.camera_count is None


def test_every_test_list_of_an_image_is_known(tmp_path: Path) -> None:
    rows = read_vehicleid(open_storage(make(tmp_path))).rows
    assert [row.trial_roles for row in rows] == [
        None,
        {"test_800": "test", "test_13164": "test"},
        {"test_800": "test"},
    ]


def test_another_list_makes_another_pool(tmp_path: Path) -> None:
    reading = read_vehicleid(open_storage(make(tmp_path)), test_list=13164)
    assert {row.path: row.pid for row in reading.rows if row.split == "test_pool"} == {
        "image/0000002.jpg": 7,
        "image/0000004.jpg": 9,
    }
    assert reading.benchmark == "vehicleid_13164"


def test_an_archive_gives_the_same_rows(tmp_path: Path) -> None:
    root = make(tmp_path / "tree")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for path in FILES:
            archive.write(root / path, path)
    assert read_vehicleid(open_storage(tmp_path / "a.zip")) == read_vehicleid(open_storage(root))


def test_other_files_are_ignored_with_a_reason(tmp_path: Path) -> None:
    extra = {
        "image/0000009.jpg": UNLISTED,
        "image/odd.jpg": BAD_NAME,
        "image/._0000001.jpg": SIDECAR,
        "image/Thumbs.db": NOT_AN_IMAGE,
        "attribute/color_attr.txt": LABEL_FILE,
        "demo/0000001.jpg": OTHER_FOLDER,
    }
    make(tmp_path / "home", *extra)
    (tmp_path / "loose.jpg").touch()
    reading = read_vehicleid(open_storage(tmp_path))
    assert {file.path.removeprefix("home/"): file.reason for file in reading.ignored} == {
        **extra,
        "image/0000004.jpg": OTHER_TEST,
        "loose.jpg": OTHER_FOLDER,
        **{path: LIST_FILE for path in FILES if path.startswith(SPLITS)},
    }
    assert reading.unlisted == ("home/image/0000009.jpg", "home/image/odd.jpg")
    assert len(reading.warnings) == 2


def test_an_unknown_list_is_an_error_that_names_those_there(tmp_path: Path) -> None:
    expected = r"no train_test_split/test_list_1600.txt; expected one of test_800, test_13164"
    with pytest.raises(ParamsError, match=expected):
        read_vehicleid(open_storage(make(tmp_path)), test_list=1600)


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({"train_list": "0000001 12\n0000002 7"}, "0000002 is in train and in test_800"),
        ({"train_list": "0000008 12"}, "no file image/0000008.jpg; expected every .* train list"),
        ({"test_list_800": "0000008 12"}, "no file image/0000008.jpg; expected every .* test list"),
        ({"train_list": "0000001"}, "line 1 of train_test_split/train_list.txt is '0000001'"),
        ({"train_list": ""}, "no image of the split train; expected names such as"),
    ],
)
def test_wrong_lists_are_errors_of_one_line(
    tmp_path: Path, lists: dict[str, str], message: str
) -> None:
    with pytest.raises(DataError, match=message) as raised:
        read_vehicleid(open_storage(make(tmp_path, **lists)))
    assert "\n" not in str(raised.value)


def test_a_foreign_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"image, train_test_split/train_list.txt, here or up to"):
        read_vehicleid(open_storage(tmp_path))


def test_the_layout_is_known_by_its_files() -> None:
    assert is_vehicleid(["a/image/0000001.jpg", f"a/{SPLITS}/train_list.txt"])
    assert not is_vehicleid(["a/image/0000001.jpg", f"b/{SPLITS}/train_list.txt"])
    assert not is_vehicleid(["image/0000001.jpg"])
