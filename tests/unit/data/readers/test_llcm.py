"""The grammar of LLCM, its lists, and the second tree of copies."""

import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reid.data.readers.llcm import COPY, is_llcm, original_of, parse_row, read_llcm
from reid.data.readers.reading import (
    BAD_NAME,
    LIST_FILE,
    NOT_AN_IMAGE,
    OTHER_FOLDER,
    SIDECAR,
    UNLISTED,
)
from reid.data.storage import open_storage
from reid.errors import DataError

LISTS = {
    "idx/train_vis.txt": ("vis/0001/0001_c01_s124667_f6992_vis.jpg",),
    "idx/train_nir.txt": ("nir/0001/0001_c02_s117193_f1_nir.jpg",),
    "idx/test_vis.txt": ("vis/0003/0003_c09_s218225_f2347_vis.jpg",),
    "idx/test_nir.txt": ("nir/0003/0003_c01_s216954_f6943_nir.jpg",),
}
COPIES = (
    "test_nir/cam1/0003/0003_c01_s216954_f6943_nir.jpg",
    "test_vis/cam9/0003/0003_c09_s218225_f2347_vis.jpg",
)
IMAGES = sorted(path for paths in LISTS.values() for path in paths)


def make(root: Path, *paths: str) -> Path:
    for path in (*IMAGES, *COPIES, *paths):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    (root / "idx").mkdir(exist_ok=True)
    for name, listed in LISTS.items():
        (root / name).write_text("".join(f"{path} 0\n" for path in listed))
    (root / "idx/test_id.txt").write_text("3")
    return root


@settings(max_examples=50, deadline=None)
@given(
    pid=st.integers(0, 9999),
    camera=st.integers(0, 99),
    clock=st.integers(0, 999_999),
    frame=st.integers(0, 10**9),
    kind=st.sampled_from(["vis", "nir"]),
)
def test_path_carries_every_fact(pid: int, camera: int, clock: int, frame: int, kind: str) -> None:
    name = f"{pid:04}_c{camera:02}_s{clock:06}_f{frame}_{kind}.jpg"
    row = parse_row(f"{kind}/{pid:04}/{name}", "test_pool")
    assert row is not None
    assert (row.pid, row.camid, row.cam_raw) == (pid, camera - 1, str(camera))
    assert (row.session, row.frame, row.timestamp) == (f"{clock:06}", frame, None)
    assert (row.modality, row.band) == (("rgb", "visible") if kind == "vis" else ("ir", "nir"))
    assert row.split == "test_pool"
    copy = f"test_{kind}/cam{camera}/{pid:04}/{name}"
    assert original_of(copy) == row.path


@pytest.mark.parametrize(
    "path",
    [
        "vis/0001/001_c01_s124667_f6992_vis.jpg",
        "vis/0001/0001_c1_s124667_f6992_vis.jpg",
        "vis/0001/0001_c01_s12466_f6992_vis.jpg",
        "vis/0001/0001_c01_s124667_f_vis.jpg",
        "vis/0001/0001_c01_s124667_f6992_vis.png",
        "vis/0001/0001_c01_s124667_f6992_vis.jpg\n",
        "vis/0001/x0001_c01_s124667_f6992_vis.jpg",
        "vis/0002/0001_c01_s124667_f6992_vis.jpg",
        "nir/0001/0001_c01_s124667_f6992_vis.jpg",
        "vis/0001/0001_c01_s124667_f6992_ir.jpg",
        "vis/0001_c01_s124667_f6992_vis.jpg",
    ],
)
def test_path_is_matched_as_a_whole(path: str) -> None:
    assert parse_row(path, "train") is None


@pytest.mark.parametrize(
    "path",
    [
        "test_vis/cam2/0001/0001_c01_s124667_f6992_vis.jpg",
        "test_vis/cam1/0002/0001_c01_s124667_f6992_vis.jpg",
        "test_nir/cam1/0001/0001_c01_s124667_f6992_vis.jpg",
        "test_vis/cam1/0001/odd.jpg",
        "test_vis/0001/0001_c01_s124667_f6992_vis.jpg",
        "vis/0001/0001_c01_s124667_f6992_vis.jpg",
    ],
)
def test_other_paths_are_no_copies(path: str) -> None:
    assert original_of(path) is None


@pytest.mark.parametrize("home", ["", "LLCM/"])
def test_rows_follow_the_lists_and_know_their_copies(tmp_path: Path, home: str) -> None:
    make(tmp_path / home)
    rows = list(read_llcm(open_storage(tmp_path)).rows)
    assert [row.path for row in rows] == [home + path for path in IMAGES]
    for row in rows:
        assert row.split == ("test_pool" if row.pid == 3 else "train")
    aliases = {row.path: row.alias_paths for row in rows if row.alias_paths}
    assert aliases == {
        home + LISTS["idx/test_nir.txt"][0]: (home + COPIES[0],),
        home + LISTS["idx/test_vis.txt"][0]: (home + COPIES[1],),
    }


def test_an_archive_gives_the_same_rows(tmp_path: Path) -> None:
    root = make(tmp_path / "tree")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for path in root.rglob("*.*"):
            archive.write(path, path.relative_to(root))
    assert read_llcm(open_storage(tmp_path / "a.zip")) == read_llcm(open_storage(root))


def test_other_files_are_ignored_with_a_reason(tmp_path: Path) -> None:
    extra = {
        "vis/0001/odd.jpg": BAD_NAME,
        "vis/0001/0001_c01_s000000_f1_vis.jpg": UNLISTED,
        "test_vis/cam1/0001/0001_c01_s124667_f6992_vis.jpg": UNLISTED,
        "test_vis/cam2/0003/0003_c09_s218225_f2347_vis.jpg": BAD_NAME,
        "vis/0001/._0001_c01_s124667_f6992_vis.jpg": SIDECAR,
        "vis/0001/Thumbs.db": NOT_AN_IMAGE,
        "other/0001/0001_c01_s124667_f6992_vis.jpg": OTHER_FOLDER,
    }
    make(tmp_path / "LLCM", *extra)
    (tmp_path / "loose.jpg").touch()
    reading = read_llcm(open_storage(tmp_path))
    assert {file.path.removeprefix("LLCM/"): file.reason for file in reading.ignored} == {
        **extra,
        **dict.fromkeys(COPIES, COPY),
        **dict.fromkeys([*LISTS, "idx/test_id.txt"], LIST_FILE),
        "loose.jpg": OTHER_FOLDER,
    }
    accidents = {path for path, why in extra.items() if why in (BAD_NAME, UNLISTED)}
    assert {path.removeprefix("LLCM/") for path in reading.unlisted} == accidents
    assert len(reading.warnings) == len(accidents)


@pytest.mark.parametrize("name", LISTS)
def test_a_missing_list_is_an_error(tmp_path: Path, name: str) -> None:
    (make(tmp_path) / name).unlink()
    with pytest.raises(DataError, match=f"no file {name}; expected the file"):
        read_llcm(open_storage(tmp_path))


def test_wrong_lists_are_errors_of_one_line(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / "idx/test_vis.txt").write_text("vis/0009/0009_c01_s000000_f1_vis.jpg 0")
    with pytest.raises(
        DataError, match=r"no file vis/0009/.*; expected every image in idx/test_vis"
    ):
        read_llcm(open_storage(tmp_path))
    (tmp_path / "idx/test_vis.txt").write_text(f"{LISTS['idx/train_vis.txt'][0]} 0")
    with pytest.raises(
        DataError, match=r"is in idx/train_vis.txt and in idx/test_vis.txt"
    ) as raised:
        read_llcm(open_storage(tmp_path))
    assert "\n" not in str(raised.value)


def test_a_foreign_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="vis, nir, here or up to 2 levels down"):
        read_llcm(open_storage(tmp_path))


def test_the_layout_is_known_by_its_paths() -> None:
    assert is_llcm([f"a/{IMAGES[0]}"])
    assert is_llcm([IMAGES[3]])
    assert not is_llcm(["idx/train_vis.txt", "vis/0001/odd.jpg", COPIES[0]])
