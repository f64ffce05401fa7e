"""The grammar of RegDB and its ten splits."""

import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reid.data.readers.reading import (
    BAD_NAME,
    LIST_FILE,
    NOT_AN_IMAGE,
    OTHER_FOLDER,
    SIDECAR,
    UNLISTED,
    Row,
)
from reid.data.readers.regdb import is_regdb, parse_row, read_regdb
from reid.data.storage import open_storage
from reid.errors import DataError, ParamsError

IMAGES = (
    "Thermal/1/male_front_t_00001_1.bmp",
    "Thermal/2/female_back_t_00002_2.bmp",
    "Visible/1/male_front_v_00003_1.bmp",
    "Visible/2/female_back_v_00004_2.bmp",
)


def write_lists(root: Path, trial: int, tested: str) -> None:
    (root / "idx").mkdir(exist_ok=True)
    for kind in ("Visible", "Thermal"):
        for role in ("train", "test"):
            names = [
                path
                for path in IMAGES
                if path.startswith(kind) and (path.split("/")[1] == tested) == (role == "test")
            ]
            text = "\n".join(f"{path} 0" for path in names)
            (root / f"idx/{role}_{kind.lower()}_{trial}.txt").write_text(text)


def make(root: Path, *paths: str) -> Path:
    for path in (*IMAGES, *paths):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    write_lists(root, 1, tested="1")
    write_lists(root, 10, tested="2")
    return root


@settings(max_examples=50, deadline=None)
@given(
    pid=st.integers(1, 412),
    sex=st.sampled_from(["male", "female"]),
    side=st.sampled_from(["front", "back"]),
    kind=st.sampled_from(["Visible", "Thermal"]),
    frame=st.integers(0, 99_999),
    role=st.sampled_from(["train", "test"]),
)
def test_path_carries_every_fact(
    pid: int, sex: str, side: str, kind: str, frame: int, role: str
) -> None:
    path = f"{kind}/{pid}/{sex}_{side}_{kind[0].lower()}_{frame:05}_{pid}.bmp"
    row = parse_row(path, role)
    assert isinstance(row, Row)
    assert (row.pid, row.frame, row.viewid) == (pid, frame, int(side == "back"))
    assert (row.camid, row.cam_raw) == (int(kind == "Thermal"), kind)
    expected = ("rgb", "visible") if kind == "Visible" else ("ir", "thermal")
    assert (row.modality, row.band) == expected
    assert row.split == ("train" if role == "train" else "test_pool")
    assert row.attrs == f'{{"sex": "{sex}"}}'


@pytest.mark.parametrize(
    "path",
    [
        "Visible/1/male_front_v_0003_1.bmp",
        "Visible/1/male_front_v_000003_1.bmp",
        "Visible/1/male_front_v_00003_1.jpg",
        "Visible/1/male_front_v_00003_1.bmp\n",
        "Visible/1/xmale_front_v_00003_1.bmp",
        "Visible/1/male_side_v_00003_1.bmp",
        "Visible/1/male_front_t_00003_1.bmp",
        "Visible/2/male_front_v_00003_1.bmp",
        "Visible/1/deep/male_front_v_00003_1.bmp",
        "Visible/male_front_v_00003_1.bmp",
        "Visible/\u0661/male_front_v_00003_\u0661.bmp",
    ],
)
def test_path_is_matched_as_a_whole(path: str) -> None:
    assert parse_row(path) == BAD_NAME


@pytest.mark.parametrize(("trial", "tested"), [(1, 1), (10, 2)])
def test_a_trial_makes_the_split(tmp_path: Path, trial: int, tested: int) -> None:
    rows = list(read_regdb(open_storage(make(tmp_path)), trial=trial).rows)
    assert [row.path for row in rows] == list(IMAGES)
    for row in rows:
        assert row.split == ("test_pool" if row.pid == tested else "train")


def test_every_trial_has_a_role_for_each_image(tmp_path: Path) -> None:
    roles = {row.pid: row.trial_roles for row in read_regdb(open_storage(make(tmp_path))).rows}
    assert roles == {1: {"1": "test", "10": "train"}, 2: {"1": "train", "10": "test"}}


def test_an_archive_gives_the_same_rows(tmp_path: Path) -> None:
    root = make(tmp_path / "tree")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for path in root.rglob("*.*"):
            archive.write(path, path.relative_to(root))
    assert read_regdb(open_storage(tmp_path / "a.zip")) == read_regdb(open_storage(root))


def test_other_files_are_ignored_with_a_reason(tmp_path: Path) -> None:
    make(
        tmp_path / "RegDB",
        "Visible/1/odd.bmp",
        "Visible/1/male_front_v_00099_1.bmp",
        "Visible/1/._male_front_v_00003_1.bmp",
        "Visible/1/Thumbs.db",
        "idx/notes.txt",
        "figures/page.png",
    )
    (tmp_path / "loose.bmp").touch()
    reading = read_regdb(open_storage(tmp_path))
    ignored = {file.path.removeprefix("RegDB/"): file.reason for file in reading.ignored}
    assert {path: why for path, why in ignored.items() if why != LIST_FILE} == {
        "Visible/1/odd.bmp": BAD_NAME,
        "Visible/1/male_front_v_00099_1.bmp": UNLISTED,
        "Visible/1/._male_front_v_00003_1.bmp": SIDECAR,
        "Visible/1/Thumbs.db": NOT_AN_IMAGE,
        "idx/notes.txt": NOT_AN_IMAGE,
        "figures/page.png": OTHER_FOLDER,
        "loose.bmp": OTHER_FOLDER,
    }
    assert sum(why == LIST_FILE for why in ignored.values()) == 8
    assert reading.unlisted == (
        "RegDB/Visible/1/male_front_v_00099_1.bmp",
        "RegDB/Visible/1/odd.bmp",
    )
    assert len(reading.warnings) == 2


def test_lists_and_listed_images_must_be_there(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / IMAGES[0]).unlink()
    with pytest.raises(DataError, match=f"no file {IMAGES[0]}; expected every image in the lists"):
        read_regdb(open_storage(tmp_path))
    (tmp_path / "idx/test_thermal_10.txt").unlink()
    with pytest.raises(DataError, match=r"no file idx/test_thermal_10.txt; expected the file"):
        read_regdb(open_storage(tmp_path))


def test_images_of_other_trials_must_be_there_too(tmp_path: Path) -> None:
    make(tmp_path)
    with (tmp_path / "idx/train_visible_10.txt").open("a") as file:
        file.write("\nVisible/1/male_front_v_00099_1.bmp 0")
    with pytest.raises(DataError, match=r"v_00099_1.bmp; expected every image in .* trial 10"):
        read_regdb(open_storage(tmp_path))


def test_wrong_lists_are_errors_of_one_line(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / "idx/test_visible_1.txt").write_text(f"{IMAGES[2]} 0\n{IMAGES[3]} 0")
    with pytest.raises(DataError, match=f"{IMAGES[3]} is in train and in test") as raised:
        read_regdb(open_storage(tmp_path))
    assert "\n" not in str(raised.value)
    (tmp_path / "idx/test_visible_1.txt").write_text(f"{IMAGES[2]}")
    with pytest.raises(DataError, match=r"line 1 of idx/test_visible_1.txt is"):
        read_regdb(open_storage(tmp_path))


def test_an_unknown_trial_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="no lists of trial 2 in idx; expected one of 1, 10"):
        read_regdb(open_storage(make(tmp_path)), trial=2)
    for path in (tmp_path / "idx").iterdir():
        path.unlink()
    with pytest.raises(ParamsError, match=r"trial 1 in idx; expected idx/train_visible_1.txt"):
        read_regdb(open_storage(tmp_path))


def test_a_foreign_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Visible, Thermal, here or up to 2 levels down"):
        read_regdb(open_storage(tmp_path))


def test_the_layout_is_known_by_its_paths() -> None:
    assert is_regdb([f"home/{IMAGES[0]}"])
    assert is_regdb([IMAGES[3]])
    assert not is_regdb(["Thermal/1/odd.bmp", "idx/train_visible_1.txt", "Visible/1.bmp"])
