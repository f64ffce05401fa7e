"""The grammar of SYSU-MM01, its lists of ids, and the official permutations."""

import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from reid.data.readers.reading import BAD_NAME, LIST_FILE, NOT_AN_IMAGE, OTHER_FOLDER, SIDECAR
from reid.data.readers.sysu_mm01 import (
    NAME,
    NO_ID,
    is_sysu_mm01,
    make_row,
    read_permutations,
    read_sysu_mm01,
)
from reid.data.storage import open_storage
from reid.errors import DataError

IMAGES = (
    "cam1/0001/0001.jpg",
    "cam1/0010/0002.JPG",
    "cam2/0004/0001.jpg",
    "cam3/0001/0001.jpg",
    "cam6/0010/0001.jpg",
)
LISTS = {"train_id": "1", "val_id": "4\n", "test_id": "6,10", "available_id": "1,4,6,10"}


def make(root: Path, *paths: str, **lists: str) -> Path:
    for path in (*IMAGES, *paths):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    (root / "exp").mkdir(exist_ok=True)
    for name, text in {**LISTS, **lists}.items():
        (root / f"exp/{name}.txt").write_text(text)
    return root


@settings(max_examples=50, deadline=None)
@given(
    camera=st.integers(0, 9),
    pid=st.integers(0, 9999),
    number=st.integers(0, 9999),
    role=st.sampled_from(["train", "val", "test"]),
    use_val=st.booleans(),
)
def test_path_and_list_give_everything(
    camera: int, pid: int, number: int, role: str, use_val: bool
) -> None:
    path = f"cam{camera}/{pid:04}/{number:04}.jpg"
    match = NAME.fullmatch(path)
    assert match is not None
    row = make_row(path, match, role, use_val)
    assert (row.pid, row.camid, row.cam_raw) == (pid, camera - 1, str(camera))
    infrared = camera in (3, 6)
    assert (row.modality, row.band) == (("ir", "nir") if infrared else ("rgb", "visible"))
    if role == "test":
        assert row.split == ("query" if infrared else "gallery")
    else:
        assert row.split == ("train" if use_val else role)


@pytest.mark.parametrize(
    "path",
    [
        "cam1/001/0001.jpg",
        "cam1/00001/0001.jpg",
        "cam1/0001/001.jpg",
        "cam12/0001/0001.jpg",
        "cam1/0001/0001.jpg\n",
        "cam1/0001/0001.png",
        "cam1/0001/x0001.jpg",
        "xcam1/0001/0001.jpg",
        "cam1/0001/deep/0001.jpg",
        "cam1/\u0660\u0660\u0660\u0661/0001.jpg",
    ],
)
def test_path_is_matched_as_a_whole(path: str) -> None:
    assert NAME.fullmatch(path) is None


@pytest.mark.parametrize("home", ["", "cam9/0001/"])
def test_home_is_the_root_or_further_down(tmp_path: Path, home: str) -> None:
    make(tmp_path / home)
    rows = read_sysu_mm01(open_storage(tmp_path)).rows
    assert {row.path.removeprefix(home): (row.split, row.pid, row.camid) for row in rows} == {
        "cam1/0001/0001.jpg": ("train", 1, 0),
        "cam1/0010/0002.JPG": ("gallery", 10, 0),
        "cam2/0004/0001.jpg": ("train", 4, 1),
        "cam3/0001/0001.jpg": ("train", 1, 2),
        "cam6/0010/0001.jpg": ("query", 10, 5),
    }


def test_ids_for_validation_stay_apart_on_request(tmp_path: Path) -> None:
    rows = read_sysu_mm01(open_storage(make(tmp_path)), use_val=False).rows
    assert {row.pid for row in rows if row.split == "val"} == {4}
    assert {row.pid for row in rows if row.split == "train"} == {1}


def test_an_archive_gives_the_same_rows(tmp_path: Path) -> None:
    root = make(tmp_path / "tree")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for path in root.rglob("*.*"):
            archive.write(path, path.relative_to(root))
    assert read_sysu_mm01(open_storage(tmp_path / "a.zip")) == read_sysu_mm01(open_storage(root))


def test_other_files_are_ignored_with_a_reason(tmp_path: Path) -> None:
    make(
        tmp_path / "home",
        "cam1/0003/0001.jpg",
        "cam1/0001/odd.jpg",
        "cam1/0001/Thumbs.db",
        "cam1/0001/._0001.jpg",
        "cam1_video_train/0001/0001.jpg",
        "exp/rand_perm_cam.mat",
        "exp/train_id.mat",
        "README",
    )
    (tmp_path / "home/exp/rand_perm_cam.mat").write_bytes(permutations([[[1]]]))
    (tmp_path / "loose.jpg").touch()
    reading = read_sysu_mm01(open_storage(tmp_path))
    assert {file.path.removeprefix("home/"): file.reason for file in reading.ignored} == {
        "cam1/0003/0001.jpg": NO_ID,
        "cam1/0001/odd.jpg": BAD_NAME,
        "cam1/0001/Thumbs.db": NOT_AN_IMAGE,
        "cam1/0001/._0001.jpg": SIDECAR,
        "cam1_video_train/0001/0001.jpg": OTHER_FOLDER,
        "loose.jpg": OTHER_FOLDER,
        "README": NOT_AN_IMAGE,
        **{f"exp/{name}.txt": LIST_FILE for name in LISTS},
        "exp/rand_perm_cam.mat": LIST_FILE,
        "exp/train_id.mat": LIST_FILE,
    }
    assert reading.unlisted == ("home/cam1/0001/odd.jpg",)
    assert reading.warnings == (f"home/cam1/0001/odd.jpg: ignored, {BAD_NAME}",)


@pytest.mark.parametrize("name", ["train_id", "val_id", "test_id"])
def test_a_missing_list_is_an_error(tmp_path: Path, name: str) -> None:
    (make(tmp_path) / f"exp/{name}.txt").unlink()
    with pytest.raises(DataError, match=f"no file exp/{name}.txt; expected the file"):
        read_sysu_mm01(open_storage(tmp_path))


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({"test_id": "6,1"}, "1 is in exp/train_id.txt and in exp/test_id.txt"),
        ({"test_id": "6;10"}, "exp/test_id.txt holds '6;10'; expected numbers between commas"),
        ({"test_id": "6"}, "no image of the split query, gallery; expected names such as"),
    ],
)
def test_wrong_lists_are_errors_of_one_line(
    tmp_path: Path, lists: dict[str, str], message: str
) -> None:
    with pytest.raises(DataError, match=message) as raised:
        read_sysu_mm01(open_storage(make(tmp_path, **lists)))
    assert "\n" not in str(raised.value)


def test_a_foreign_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cam1, exp, here or up to 2 levels down"):
        read_sysu_mm01(open_storage(tmp_path))


def permutations(*cameras: list[list[list[int]]]) -> bytes:
    """The structure of the official file: cells of cameras, of ids, then trials × images."""
    outer = np.empty((len(cameras), 1), object)
    for camera, people in enumerate(cameras):
        inner = np.empty((len(people), 1), object)
        for person, orders in enumerate(people):
            inner[person, 0] = np.array(orders, np.uint8)
        outer[camera, 0] = inner
    buffer = BytesIO()
    savemat(buffer, {"rand_perm_cam": outer})
    return buffer.getvalue()


@pytest.mark.parametrize(
    "cameras",
    [
        ([[[2, 1, 3], [3, 2, 1]], []], [[[1], [1]], [[1, 2], [2, 1]]]),
        ([[[1]]],),
    ],
)
def test_permutations_are_by_camera_and_id(
    tmp_path: Path, cameras: tuple[list[list[list[int]]], ...]
) -> None:
    make(tmp_path / "home")
    assert read_permutations(open_storage(tmp_path), "home/") is None
    (tmp_path / "home/exp/rand_perm_cam.mat").write_bytes(permutations(*cameras))
    found = read_permutations(open_storage(tmp_path), "home/")
    assert found is not None
    assert {c: {p: o.tolist() for p, o in people.items()} for c, people in found.items()} == {
        camera: {pid: orders for pid, orders in enumerate(people, start=1) if orders}
        for camera, people in enumerate(cameras, start=1)
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda: b"damaged", r"exp/rand_perm_cam.mat cannot be read"),
        (lambda: permutations([[], [[1, 2], [2, 2]]]), "holds no orders for id 2 in camera 1"),
        (lambda: flat({"rand_perm_cam": np.ones((2, 2))}), "holds no orders for id 1 in camera 1"),
        (lambda: flat({"rand_perm": np.ones((2, 2))}), "lacks rand_perm_cam"),
    ],
)
def test_damaged_permutations_are_an_error(
    tmp_path: Path, content: Callable[[], bytes], message: str
) -> None:
    (make(tmp_path) / "exp/rand_perm_cam.mat").write_bytes(content())
    with pytest.raises(DataError, match=message) as raised:
        read_sysu_mm01(open_storage(tmp_path))
    assert "\n" not in str(raised.value)


def flat(tables: dict[str, np.ndarray]) -> bytes:
    buffer = BytesIO()
    savemat(buffer, tables)
    return buffer.getvalue()


def people(**orders: list[list[int]]) -> list[list[list[int]]]:
    """The orders of ids 1 to 10 in a camera; of `p10` those of id 10."""
    return [orders.get(f"p{pid}", []) for pid in range(1, 11)]


def test_gallery_images_know_their_places_in_the_official_draws(tmp_path: Path) -> None:
    """A number is the one in the file name: image 2 of id 10 stays it where image 1 is missing."""
    make(tmp_path, "cam1/0010/0012.jpg", "cam2/0010/0001.jpg", "cam4/0010/0001.jpg")
    backwards = list(range(12, 0, -1))
    cameras = [
        people(p1=[[1], [1]], p10=[backwards, [3, 2, *range(4, 13), 1]]),
        people(p10=[[1]]),
        people(p1=[[1]]),
        people(),
        people(),
        people(p10=[[1], [1]]),
    ]
    (tmp_path / "exp/rand_perm_cam.mat").write_bytes(permutations(*cameras))
    reading = read_sysu_mm01(open_storage(tmp_path))
    assert {row.path: row.trial_roles for row in reading.rows if row.trial_roles is not None} == {
        "cam1/0010/0002.JPG": {"2": "2"},  # the eleventh in the first trial: nobody takes so many
        "cam1/0010/0012.jpg": {"1": "1"},  # the eleventh in the second
        "cam2/0010/0001.jpg": {"1": "1"},
    }
    assert reading.notes == (
        "exp/rand_perm_cam.mat draws 9 images that are not there, the first cam1/0010/0003.jpg",
    )


def test_without_the_file_nothing_is_said_of_draws(tmp_path: Path) -> None:
    reading = read_sysu_mm01(open_storage(make(tmp_path)))
    assert {row.trial_roles is None for row in reading.rows} == {True}
    assert reading.notes == ()


def test_the_layout_is_known_by_its_paths() -> None:
    assert is_sysu_mm01(["SYSU-MM01/cam5/0001/0001.jpg"])
    assert is_sysu_mm01(["cam5/0001/0001.jpg"])
    assert not is_sysu_mm01(["cam5/0001.jpg", "cam5/1/0001.jpg", "exp/test_id.txt"])
