"""The grammars of MSMT17, its lists, and persons of two independent numberings."""

import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reid.data.readers.msmt17 import (
    FOLDERS,
    MARKET_STYLE_NAME,
    NAME,
    is_msmt17,
    judge_listed,
    judge_market_style,
    read_msmt17,
)
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
from reid.errors import DataError, ParamsError

IMAGES = {
    "list_train.txt": "0000/0000_001_01_0303noon_1251_4.jpg",
    "list_val.txt": "0000/0000_004_12_0302morning_1254_0_ex.jpg",
    "list_query.txt": "0000/0000_013_02_0113afternoon_1199_3.jpg",
    "list_gallery.txt": "0000/0000_014_15_0303noon_1876_4.jpeg",
}
MARKET_STYLE = (
    "bounding_box_test/0000_c05_0037.jpg",
    "bounding_box_train/0000_c12_0032.jpg",
    "query/0000_c15_0001.jpg",
)
versions = pytest.mark.parametrize("variant", FOLDERS)


def make(root: Path, variant: str = "v1") -> Path:
    train, test = FOLDERS[variant]
    for source, image in IMAGES.items():
        folder = train if source in ("list_train.txt", "list_val.txt") else test
        touch(root, f"{folder}/{image}")
        (root / source).write_text(f"{image} 0")
    return root


def touch(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return root


def read(root: Path, use_val: bool = True) -> Reading:
    return read_msmt17(open_storage(root), use_val=use_val)


@settings(max_examples=50, deadline=None)
@given(
    pid=st.integers(0, 9999),
    number=st.integers(0, 999),
    camera=st.integers(0, 99),
    date=st.integers(0, 9999),
    slot=st.sampled_from(["morning", "noon", "afternoon"]),
    tail=st.tuples(st.integers(0, 99_999), st.integers(0, 999)),
    crop=st.booleans(),
    suffix=st.sampled_from([".jpg", ".jpeg", ".JPG"]),
    split=st.sampled_from(["train", "val", "query", "gallery"]),
)
def test_name_carries_every_field(
    pid: int,
    number: int,
    camera: int,
    date: int,
    slot: str,
    tail: tuple[int, int],
    crop: bool,
    suffix: str,
    split: str,
) -> None:
    stem = f"{pid:04d}_{number:03d}_{camera:02d}_{date:04d}{slot}_{tail[0]:04d}_{tail[1]}"
    row = judge_listed(f"x/{pid:04d}/{stem}{'_ex' if crop else ''}{suffix}", split, "v2")
    assert isinstance(row, Row)
    assert (row.pid, row.camid, row.cam_raw) == (pid, camera - 1, str(camera))
    assert (row.split, row.session, row.variant) == (split, f"{date:04d}{slot}", "v2")
    assert row.pid_space == ("train" if split in ("train", "val") else "test")
    assert row.attrs == ('{"ex": true}' if crop else None)


@pytest.mark.parametrize(
    "name",
    [
        "000_001_01_0303noon_1251_4.jpg",
        "00000_001_01_0303noon_1251_4.jpg",
        "0000_01_01_0303noon_1251_4.jpg",
        "0000_0001_01_0303noon_1251_4.jpg",
        "0000_001_1_0303noon_1251_4.jpg",
        "0000_001_001_0303noon_1251_4.jpg",
        "0000_001_01_303noon_1251_4.jpg",
        "0000_001_01_0303night_1251_4.jpg",
        "0000_001_01_0303Noon_1251_4.jpg",
        "0000_001_01_0303noon_1251.jpg",
        "0000_001_01_0303noon_1251_4_EX.jpg",
        "0000_001_01_0303noon_1251_4_ex_ex.jpg",
        "0000_001_01_0303noon_1251_4.png",
        "0000_001_01_0303noon_1251_4.jpg\n",
        "._0000_001_01_0303noon_1251_4.jpg",
    ],
)
def test_name_is_matched_as_a_whole(name: str) -> None:
    assert NAME.fullmatch(name) is None
    assert judge_listed(f"train/0000/{name}", "train", "v1") == BAD_NAME


@settings(max_examples=50, deadline=None)
@given(pid=st.integers(0, 9999), camera=st.integers(0, 99), number=st.integers(0, 9999))
def test_market_style_has_cameras_of_two_digits(pid: int, camera: int, number: int) -> None:
    for folder, split, space in (
        ("bounding_box_train", "train", "train"),
        ("query", "query", "test"),
        ("bounding_box_test", "gallery", "test"),
    ):
        row = judge_market_style(f"{folder}/{pid:04d}_c{camera:02d}_{number:04d}.jpg")
        assert isinstance(row, Row)
        assert (row.pid, row.camid, row.cam_raw) == (pid, camera - 1, str(camera))
        assert (row.split, row.pid_space, row.variant) == (split, space, "marketstyle")


@pytest.mark.parametrize(
    "name",
    [
        "0000_c5_0037.jpg",
        "0000_c005_0037.jpg",
        "000_c05_0037.jpg",
        "0000_c05_037.jpg",
        "0000_c05_00037.jpg",
        "0000_C05_0037.jpg",
        "0000_c05_0037.jpeg",
        "0000_c05_0037.jpg\n",
        "x0000_c05_0037.jpg",
        "0000_c05s1_000037_01.jpg",
    ],
)
def test_market_style_name_is_matched_as_a_whole(name: str) -> None:
    assert MARKET_STYLE_NAME.fullmatch(name) is None
    assert judge_market_style(f"query/{name}") == BAD_NAME


@versions
def test_val_is_trained_on_unless_told_otherwise(tmp_path: Path, variant: str) -> None:
    make(tmp_path / "home", variant)
    reading = read(tmp_path)
    assert (reading.benchmark, reading.camera_count) == ("msmt17", 15)
    found = [(row.split, row.pid_space, row.camid, row.variant) for row in reading.rows]
    assert sorted(found) == [
        ("gallery", "test", 14, variant),
        ("query", "test", 1, variant),
        ("train", "train", 0, variant),
        ("train", "train", 11, variant),
    ]
    without = read(tmp_path, use_val=False)
    assert without.benchmark == "msmt17_no_val"
    assert sorted(row.split for row in without.rows) == ["gallery", "query", "train", "val"]
    assert {row.pid_space for row in without.rows if row.split == "val"} == {"train"}


@versions
def test_lists_are_the_only_truth(tmp_path: Path, variant: str) -> None:
    train, test = FOLDERS[variant]
    unlisted = [
        f"{test}/0000/0000_999_05_0303noon_0001_0.jpg",
        f"{train}/0000/preview.jpg",
        "preview.jpg",
    ]
    sidecar = f"__MACOSX/{train}/0000/._{IMAGES['list_train.txt'].partition('/')[2]}"
    touch(make(tmp_path, variant), *unlisted, sidecar, f"{train}/.DS_Store")
    reading = read(tmp_path)
    assert {file.path: file.reason for file in reading.ignored} == {
        **dict.fromkeys(IMAGES, LIST_FILE),
        **dict.fromkeys(unlisted, UNLISTED),
        sidecar: SIDECAR,
        f"{train}/.DS_Store": NOT_AN_IMAGE,
    }
    assert set(reading.unlisted) == set(unlisted)
    assert len(list(reading.rows)) == len(IMAGES)


@pytest.mark.parametrize("source", IMAGES)
def test_a_missing_list_or_listed_image_is_named(tmp_path: Path, source: str) -> None:
    make(tmp_path / "one")
    (tmp_path / "one" / source).unlink()
    with pytest.raises(DataError, match=f"no file {source}"):
        read(tmp_path / "one")
    make(tmp_path / "two")
    lost = "0007/0007_001_01_0303noon_1251_4.jpg"
    (tmp_path / "two" / source).write_text(f"{IMAGES[source]} 0\r\n\r\n{lost} 7\r\n")
    with pytest.raises(
        DataError, match=f"no file t[a-z]+/{lost}; expected .* in {source}"
    ) as error:
        read(tmp_path / "two")
    assert "\n" not in str(error.value)


def test_a_damaged_list_is_an_error_that_says_where(tmp_path: Path) -> None:
    make(tmp_path)
    image = IMAGES["list_query.txt"]
    (tmp_path / "list_query.txt").write_text(f"{image} 0\n{image}\n")
    with pytest.raises(DataError, match=r"line 2 of list_query\.txt"):
        read(tmp_path)
    (tmp_path / "list_query.txt").write_text(f"{image} 3\n")
    message = rf"{image} has pid 3 in list_query\.txt; expected 0, as in its name"
    with pytest.raises(DataError, match=message):
        read(tmp_path)
    (tmp_path / "list_query.txt").write_text(f"{IMAGES['list_gallery.txt']} 0\n")
    with pytest.raises(DataError, match=r"is in list_query\.txt and in list_gallery\.txt"):
        read(tmp_path)


def test_a_listed_name_that_says_no_camera_is_an_error(tmp_path: Path) -> None:
    touch(make(tmp_path), "test/0000/0000.jpg")
    (tmp_path / "list_query.txt").write_text("0000/0000.jpg 0\n")
    with pytest.raises(DataError, match=r"no image of the layout test/0000/0000\.jpg; expected"):
        read(tmp_path)


def test_market_style_is_read_by_name(tmp_path: Path) -> None:
    home = "MSMT17/"
    touch(tmp_path / home, *MARKET_STYLE, "query/0000_c5_0001.jpg", "gt/0000_c05_0001.jpg")
    reading = read(tmp_path)
    assert [row.path for row in reading.rows] == [home + path for path in MARKET_STYLE]
    assert [row.camid for row in reading.rows] == [4, 11, 14]
    assert {file.path: file.reason for file in reading.ignored} == {
        f"{home}query/0000_c5_0001.jpg": BAD_NAME,
        f"{home}gt/0000_c05_0001.jpg": OTHER_FOLDER,
    }
    assert reading.benchmark == "msmt17"
    with pytest.raises(ParamsError, match="use_val is off for a copy in the style of Market-1501"):
        read(tmp_path, use_val=False)


@versions
def test_all_images_may_be_trained_on(tmp_path: Path, variant: str) -> None:
    reading = read_msmt17(open_storage(make(tmp_path, variant)), use_test=True)
    assert (reading.benchmark, reading.layout) == ("msmt17_all", "msmt17")
    found = [(row.split, row.pid, row.pid_space, row.camid) for row in reading.rows]
    # the parts number their persons independently: 0 is somebody else in each
    assert sorted(found) == [
        ("train", 0, "test", 1),
        ("train", 0, "test", 14),
        ("train", 0, "train", 0),
        ("train", 0, "train", 11),
    ]


def test_all_images_of_the_market_style_may_be_trained_on(tmp_path: Path) -> None:
    storage = open_storage(touch(tmp_path, *MARKET_STYLE))
    reading = read_msmt17(storage, use_test=True)
    assert reading.benchmark == "msmt17_all"
    assert {row.split for row in reading.rows} == {"train"}
    assert {row.pid_space for row in reading.rows} == {"train", "test"}
    with pytest.raises(ParamsError, match="use_test is on and use_val is off; expected use_val: t"):
        read_msmt17(storage, use_val=False, use_test=True)


def test_missing_or_several_data_sets_are_errors(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match="expected train and test or mask_train_v2 and mask_test_v2"
    ):
        read(tmp_path)
    make(tmp_path / "MSMT17_V1")
    make(tmp_path / "MSMT17_V2", "v2")
    with pytest.raises(DataError, match="MSMT17 as v1 and v2; expected one"):
        read(tmp_path)
    assert len(list(read(tmp_path / "MSMT17_V2").rows)) == len(IMAGES)
    touch(tmp_path / "empty", *MARKET_STYLE[:2], "query/odd.jpg")
    with pytest.raises(
        DataError, match="no image of the split query; expected names such as query/"
    ):
        read(tmp_path / "empty")


def test_half_of_the_folders_is_enough_to_recognise() -> None:
    for pair in FOLDERS.values():
        for folder in pair:
            assert is_msmt17([f"MSMT17/{folder}/{IMAGES['list_train.txt']}"])
    assert is_msmt17(MARKET_STYLE)
    assert not is_msmt17([path.replace("_c", "_c0") for path in MARKET_STYLE])
    assert not is_msmt17(["train/0000/a.jpg", "test/0000/b.jpg", "list_train.txt"])


@versions
def test_an_archive_gives_the_same_rows(tmp_path: Path, variant: str) -> None:
    storage = open_storage(make(tmp_path / "root", variant))
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for path in storage.files():
            archive.writestr(path, storage.read(path))
    assert read(tmp_path / "all.zip") == read(tmp_path / "root")
