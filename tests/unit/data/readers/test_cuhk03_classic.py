"""CUHK03 from its MATLAB file: the recorded splits, the later protocol, and what is missing."""

import zipfile
from io import BytesIO
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from reid.data.readers.cuhk03_classic import (
    NAME,
    Assignment,
    is_cuhk03_classic,
    parse_row,
    read_cuhk03_classic,
)
from reid.data.readers.reading import LIST_FILE, NOT_AN_IMAGE, OTHER_FOLDER, UNLISTED, Row
from reid.data.storage import open_storage
from reid.errors import DataError, ParamsError

IMAGES = "cuhk03/cuhk03_release/cuhk-03.mat"
CONFIG = "cuhk03/cuhk03_new_protocol_config_labeled.mat"
LABELED = ("1_001_1_01", "1_001_2_06", "1_002_1_02", "2_001_1_01", "2_001_2_10")
DETECTED = ("1_001_1_01", "1_002_2_07")


def write_images(path: Path) -> None:
    """Two pairs of cameras with two persons and one; every person is a test person once."""
    path.parent.mkdir(parents=True)
    with h5py.File(path, "w") as file:
        kept = iter(range(1000))

        def keep(data: object) -> h5py.Reference:
            return file.create_dataset(f"#refs#/{next(kept)}", data=data).ref

        for variant, names in (("labeled", LABELED), ("detected", DETECTED)):
            tables = []
            for pair, persons in ((1, 2), (2, 1)):
                rows = np.empty((10, persons), h5py.ref_dtype)
                for index, person in np.ndindex(10, persons):
                    view = 1 if index < 5 else 2
                    there = f"{pair}_{person + 1:03}_{view}_{index + 1:02}" in names
                    shape = (3, 2, 4) if there else (2,)
                    rows[index, person] = keep(np.zeros(shape, np.uint8))
                tables.append(keep(rows))
            file.create_dataset(variant, data=np.array([tables], h5py.ref_dtype))
        sets = [keep(np.array([person]).T) for person in ([1, 1], [1, 2], [2, 1])]
        file.create_dataset("testsets", data=np.array([sets], h5py.ref_dtype))


def config(
    names: tuple[str, ...] = LABELED,
    labels: tuple[int, ...] = (1, 1, 2, 3, 3),
    train: tuple[int, ...] = (3,),
    query: tuple[int, ...] = (1, 4),
    gallery: tuple[int, ...] = (2, 5),
) -> bytes:
    """The tables as the release has them: columns, and a cell array of names."""
    buffer = BytesIO()
    cell = np.array([f"{name}.png" for name in names], dtype=object).reshape(-1, 1)
    columns = {"labels": labels, "train_idx": train, "query_idx": query, "gallery_idx": gallery}
    tables = {name: np.array(values).reshape(-1, 1) for name, values in columns.items()}
    savemat(buffer, {"filelist": cell, **tables})
    return buffer.getvalue()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_images(tmp_path / IMAGES)
    (tmp_path / CONFIG).write_bytes(config())
    return tmp_path


def read(root: Path, **options: object) -> dict[str, Row]:
    rows = read_cuhk03_classic(open_storage(root), **options).rows
    return {row.path.rpartition("/")[2].removesuffix(".png"): row for row in rows}


@settings(max_examples=50, deadline=None)
@given(
    pair=st.integers(1, 9),
    person=st.integers(1, 999),
    view=st.integers(1, 2),
    index=st.integers(1, 10),
)
def test_name_carries_camera_and_person(pair: int, person: int, view: int, index: int) -> None:
    path = f"hdf5://a.mat#labeled/{pair}_{person:03}_{view}_{index:02}.png"
    row = parse_row(path, "labeled", Assignment("train", 7, None))
    assert (row.camid, row.cam_raw, row.pid) == (view - 1, str(pair * 2 + view), 7)
    assert (row.path, row.variant, row.split) == (path, "labeled", "train")


@pytest.mark.parametrize(
    "name",
    [
        "1_01_1_01.png",
        "1_0001_1_01.png",
        "0_001_1_01.png",
        "1_001_3_01.png",
        "1_001_1_1.png",
        "1_001_1_00.png",
        "1_001_1_11.png",
        "1_001_1_01.jpg",
        "x1_001_1_01.png",
        "1_001_1_01.png\n",
        "1_\u0660\u0660\u0661_1_01.png",
    ],
)
def test_name_is_matched_as_a_whole(name: str) -> None:
    assert NAME.fullmatch(name) is None
    with pytest.raises(DataError, match="not a CUHK03 name"):
        parse_row(name, "labeled", Assignment("train", 1, None))


def test_rows_are_cells_of_one_variant(root: Path) -> None:
    rows = read_cuhk03_classic(open_storage(root)).rows
    assert [row.path for row in rows] == [f"hdf5://{IMAGES}#labeled/{n}.png" for n in LABELED]
    assert list(read(root, variant="detected")) == list(DETECTED)


def test_persons_are_counted_through_all_pairs(root: Path) -> None:
    pids = {name: row.pid for name, row in read(root).items()}
    assert list(pids.values()) == [1, 1, 2, 3, 3]


@pytest.mark.parametrize(("trial", "tested"), [(1, "1_001"), (2, "1_002"), (3, "2_001")])
def test_a_trial_makes_the_split(root: Path, trial: int, tested: str) -> None:
    for name, row in read(root, trial=trial).items():
        assert row.split == ("test_pool" if name.startswith(tested) else "train")


def test_every_trial_has_a_role_for_each_person(root: Path) -> None:
    roles = {name[:5]: row.trial_roles for name, row in read(root).items()}
    assert roles == {
        "1_001": {"1": "test", "2": "train", "3": "train"},
        "1_002": {"1": "train", "2": "test", "3": "train"},
        "2_001": {"1": "train", "2": "train", "3": "test"},
    }


def test_the_later_protocol_gives_split_and_person(root: Path) -> None:
    (root / CONFIG).write_bytes(config(labels=(9, 9, 4, 6, 6)))
    rows = read(root, protocol="new")
    assert {name: (row.split, row.pid) for name, row in rows.items()} == {
        "1_001_1_01": ("query", 9),
        "1_001_2_06": ("gallery", 9),
        "1_002_1_02": ("train", 4),
        "2_001_1_01": ("query", 6),
        "2_001_2_10": ("gallery", 6),
    }
    assert {row.trial_roles is None for row in rows.values()} == {True}


@pytest.mark.parametrize(
    ("options", "benchmark"),
    [
        ({}, "cuhk03_classic_labeled"),
        ({"variant": "detected"}, "cuhk03_classic_detected"),
        ({"protocol": "new"}, "cuhk03_np_labeled"),
    ],
)
def test_benchmark_names_protocol_and_variant(
    root: Path, options: dict[str, str], benchmark: str
) -> None:
    assert read_cuhk03_classic(open_storage(root), **options).benchmark == benchmark


def test_an_archive_gives_the_same_rows(root: Path) -> None:
    archive = root / "a.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.write(root / IMAGES, IMAGES)
        file.write(root / CONFIG, CONFIG)
    archive = archive.rename(root.parent / "a.zip")
    assert read(archive) == read(root)
    assert read(archive, protocol="new") == read(root, protocol="new")


def test_other_files_are_ignored_with_a_reason(root: Path) -> None:
    (root / "cuhk03/images_labeled").mkdir()
    for name in ("images_labeled/1_001_1_01.png", "splits.json", "._cuhk-03.mat"):
        (root / "cuhk03" / name).touch()
    reading = read_cuhk03_classic(open_storage(root))
    assert {file.path.removeprefix("cuhk03/"): file.reason for file in reading.ignored} == {
        "cuhk03_release/cuhk-03.mat": "container, not an image file",
        "cuhk03_new_protocol_config_labeled.mat": LIST_FILE,
        "images_labeled/1_001_1_01.png": OTHER_FOLDER,
        "splits.json": NOT_AN_IMAGE,
        "._cuhk-03.mat": "AppleDouble sidecar",
    }
    assert reading.unlisted == reading.warnings == ()


def test_an_image_in_no_split_is_ignored_with_a_warning(root: Path) -> None:
    (root / CONFIG).write_bytes(config(gallery=(2,)))
    path = f"hdf5://{IMAGES}#labeled/2_001_2_10.png"
    reading = read_cuhk03_classic(open_storage(root), protocol="new")
    assert path not in {row.path for row in reading.rows}
    assert reading.unlisted == (path,)
    assert reading.warnings == (f"{path}: ignored, {UNLISTED}",)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (config((*LABELED[:4], "2_001_2_09")), "no image 2_001_2_09.png in .*cuhk-03.mat; expect"),
        (config(query=(1, 6)), "has 6 in query_idx; expected 1 to 5"),
        (config(query=(1, 3)), "has 1_002_1_02.png in query_idx and before"),
        (config(query=()), "no image of the split query; expected names such as"),
        (b"MATLAB", r"config_labeled.mat cannot be read \("),
    ],
)
def test_a_wrong_protocol_file_is_an_error_of_one_line(
    root: Path, data: bytes, message: str
) -> None:
    (root / CONFIG).write_bytes(data)
    with pytest.raises(DataError, match=message) as raised:
        read(root, protocol="new")
    assert "\n" not in str(raised.value)


def test_missing_files_are_named(root: Path) -> None:
    with pytest.raises(
        DataError, match=r"no file cuhk03_new_protocol_config_detected.mat; expected"
    ):
        read(root, variant="detected", protocol="new")
    (root / "cuhk-03.mat").touch()
    with pytest.raises(DataError, match=r"2 files cuhk-03.mat \(cuhk-03.mat, cuhk03/.*\); expect"):
        read(root)
    (root / "cuhk03" / "empty").mkdir()
    with pytest.raises(DataError, match=r"no file cuhk-03.mat; expected one"):
        read(root / "cuhk03" / "empty")


def test_wrong_options_are_errors(root: Path) -> None:
    with pytest.raises(ParamsError, match="variant 'labelled'; expected one of detected, labeled"):
        read(root, variant="labelled")
    with pytest.raises(ParamsError, match="protocol 'old'; expected one of classic, new"):
        read(root, protocol="old")
    for trial in (0, 4):
        with pytest.raises(ParamsError, match=f"trial {trial}; expected 1 to 3"):
            read(root, trial=trial)


def test_the_layout_is_known_by_its_file() -> None:
    assert is_cuhk03_classic(["a/b/cuhk-03.mat"])
    assert is_cuhk03_classic(["cuhk-03.mat"])
    assert not is_cuhk03_classic(["a/._cuhk-03.mat", "cuhk-03.mat.txt", "cuhk03-np/labeled/x.png"])
