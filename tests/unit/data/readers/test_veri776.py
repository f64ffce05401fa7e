"""The grammar of VeRi-776, labels in an encoding that parsers refuse, and views by name."""

import json
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
    Row,
)
from reid.data.readers.veri776 import (
    MISTYPED_VEHICLES,
    NAME,
    is_veri776,
    parse_row,
    read_veri776,
)
from reid.data.storage import open_storage
from reid.errors import DataError

TRAIN = "image_train/0003_c001_00016450_0.jpg"
QUERY = "image_query/0002_c002_00030600_0.jpg"
TEST = "image_test/0002_c020_00030600_0.jpg"
IMAGES = (QUERY, TEST, TRAIN)
POINTS = " ".join(["12", "-1"] * 20)


def label(path: str, kind: int = 4, colour: int = 6) -> str:
    name = path.rpartition("/")[2]
    return f'<Item imageName="{name}" vehicleID="{name[:4]}" colorID="{colour}" typeID="{kind}" />'


def labels(*items: str) -> bytes:
    text = f"<?xml version='1.0' encoding=\"gb2312\"?>\n<Images 版='1'><Items>{''.join(items)}"
    return f"{text}</Items></Images>".encode("gb2312")


def make(root: Path, *paths: str, **texts: str | bytes) -> Path:
    for path in (*IMAGES, *paths):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    for split, path in (("query", QUERY), ("test", TEST), ("train", TRAIN)):
        (root / f"name_{split}.txt").write_text(path.rpartition("/")[2] + "\n")
    for name, text in texts.items():
        suffix = "xml" if name.endswith("label") else "txt"
        data = text.encode() if isinstance(text, str) else text
        (root / f"{name}.{suffix}").write_bytes(data)
    return root


def read(root: Path) -> dict[str, Row]:
    return {row.path: row for row in read_veri776(open_storage(root)).rows}


@settings(max_examples=50, deadline=None)
@given(
    pid=st.integers(0, 9999),
    camera=st.integers(0, 999),
    time=st.integers(0, 10**8 - 1),
    number=st.integers(0, 99),
    folder=st.sampled_from(["image_train", "image_query", "image_test"]),
    suffix=st.sampled_from([".jpg", ".JPG"]),
)
def test_path_carries_every_fact(
    pid: int, camera: int, time: int, number: int, folder: str, suffix: str
) -> None:
    row = parse_row(f"{folder}/{pid:04}_c{camera:03}_{time:08}_{number}{suffix}")
    assert isinstance(row, Row)
    assert (row.pid, row.camid, row.cam_raw, row.frame) == (pid, camera - 1, str(camera), time)
    assert (row.object, row.modality) == ("vehicle", "rgb")
    splits = {"image_train": "train", "image_query": "query", "image_test": "gallery"}
    assert row.split == splits[folder]


@pytest.mark.parametrize(
    "name",
    [
        "003_c001_00016450_0.jpg",
        "0003_c01_00016450_0.jpg",
        "0003_c001_0016450_0.jpg",
        "0003_c001_00016450_.jpg",
        "0003_c001_00016450.jpg",
        "0003_c001_00016450_0.png",
        "0003_c001_00016450_0.jpg\n",
        "x0003_c001_00016450_0.jpg",
        "0003_C001_00016450_0.jpg",
        "\u0660003_c001_00016450_0.jpg",
    ],
)
def test_name_is_matched_as_a_whole(name: str) -> None:
    assert NAME.fullmatch(name) is None
    assert parse_row(f"image_train/{name}") == BAD_NAME


def test_colour_and_type_come_from_the_labels(tmp_path: Path) -> None:
    rows = read(make(tmp_path, test_label=labels(label(TEST, kind=0, colour=10))))
    assert json.loads(rows[TEST].attrs or "") == {"colour": 10, "type": 0}
    assert rows[TRAIN].attrs is rows[QUERY].attrs is None


@pytest.mark.parametrize("pid", MISTYPED_VEHICLES)
def test_a_known_mistake_of_older_labels_is_mended(tmp_path: Path, pid: int) -> None:
    path = f"image_test/{pid:04}_c001_00000001_0.jpg"
    make(tmp_path, path, train_label=labels(label(TRAIN)), test_label=labels(label(path, kind=0)))
    (tmp_path / "name_test.txt").write_text(path.rpartition("/")[2])
    (tmp_path / TEST).unlink()
    reading = read_veri776(open_storage(tmp_path))
    attrs = {row.path: row.attrs for row in reading.rows}
    assert json.loads(attrs[path] or "")["type"] == 2
    assert json.loads(attrs[TRAIN] or "")["type"] == 4
    assert f"labels of an older copy: type 0 of vehicle {pid} is read as 2" in reading.warnings


@pytest.mark.parametrize("place", ["VeRi", "."])
def test_views_are_found_by_base_name(tmp_path: Path, place: str) -> None:
    make(tmp_path / "VeRi")
    lines = [f"VeRi/image_test/{path.rpartition('/')[2]} {POINTS} 7" for path in (QUERY, QUERY)]
    (tmp_path / place / "keypoint_test.txt").write_text("\n".join([*lines, ""]))
    reading = read_veri776(open_storage(tmp_path))
    assert {row.path.removeprefix("VeRi/"): row.viewid for row in reading.rows} == {
        QUERY: 7,
        TEST: -1,
        TRAIN: -1,
    }
    assert reading.warnings == ("2 of 3 images without a view label: view -1",)


def test_an_archive_gives_the_same_rows(tmp_path: Path) -> None:
    root = make(
        tmp_path / "tree",
        train_label=labels(label(TRAIN)),
        keypoint_train=f"a/{TRAIN} {POINTS} 3",
    )
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for path in root.rglob("*.*"):
            archive.write(path, path.relative_to(root))
    assert read_veri776(open_storage(tmp_path / "a.zip")) == read_veri776(open_storage(root))


def test_other_files_are_ignored_with_a_reason(tmp_path: Path) -> None:
    extra = {
        "image_train/0003_c001_00016451_0.jpg": UNLISTED,
        "image_train/odd.jpg": BAD_NAME,
        "image_train/._0003_c001_00016450_0.jpg": SIDECAR,
        "image_train/Thumbs.db": NOT_AN_IMAGE,
        "__MACOSX/keypoint_test.txt": SIDECAR,
        "gt_index.txt": LIST_FILE,
        "jk_index.txt": LIST_FILE,
        "list_color.txt": LIST_FILE,
        "ReadMe.txt": NOT_AN_IMAGE,
        "camera/map.jpg": OTHER_FOLDER,
    }
    make(tmp_path / "VeRi", *extra, test_label=labels(), keypoint_test="")
    (tmp_path / "loose.jpg").touch()
    (tmp_path / "VeRi/__MACOSX/keypoint_test.txt").write_bytes(b"\xff")
    reading = read_veri776(open_storage(tmp_path))
    assert {file.path.removeprefix("VeRi/"): file.reason for file in reading.ignored} == {
        **extra,
        "loose.jpg": OTHER_FOLDER,
        "test_label.xml": LABEL_FILE,
        "keypoint_test.txt": LABEL_FILE,
        **{f"name_{split}.txt": LIST_FILE for split in ("train", "query", "test")},
    }
    assert reading.unlisted == (
        "VeRi/image_train/0003_c001_00016451_0.jpg",
        "VeRi/image_train/odd.jpg",
    )


def test_without_a_list_every_image_of_the_folder_counts(tmp_path: Path) -> None:
    other = "image_train/0003_c001_00016451_0.jpg"
    (make(tmp_path, other) / "name_train.txt").unlink()
    assert read(tmp_path)[other].split == "train"


def test_a_listed_image_must_be_there(tmp_path: Path) -> None:
    make(tmp_path, name_test="0002_c020_00030600_0.jpg\n0002_c020_00030601_0.jpg")
    expected = "no file image_test/0002_c020_00030601_0.jpg; expected every image in name_test.txt"
    with pytest.raises(DataError, match=expected):
        read(tmp_path)


ENTITY = b"""<!DOCTYPE x [<!ENTITY a "b">]>
<Images><Item imageName="&a;" colorID="1" typeID="1" /></Images>"""


@pytest.mark.parametrize(
    "data",
    [
        b"<Images>",
        labels('<Item imageName="a.jpg" colorID="1" />'),
        labels('<Item imageName="a.jpg" colorID="red" typeID="1" />'),
        b"\xff\xff",
        ENTITY,
    ],
)
def test_damaged_labels_are_an_error_of_one_line(tmp_path: Path, data: bytes) -> None:
    expected = r"train_label.xml cannot be read \(.*\); expected items with imageName"
    with pytest.raises(DataError, match=expected) as raised:
        read(make(tmp_path, train_label=data))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "line",
    [f"a.jpg {POINTS}", f"a.jpg {POINTS} 1 2", f"a.jpg {POINTS} -1", f"a.jpg {POINTS} x", "a.jpg"],
)
def test_damaged_keypoints_are_an_error(tmp_path: Path, line: str) -> None:
    make(tmp_path, keypoint_test=f"b.jpg {POINTS} 1\n{line}\n")
    with pytest.raises(DataError, match=r"line 2 of keypoint_test.txt has \d+ words; expected a p"):
        read(tmp_path)


def test_missing_images_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="image_train, image_query, image_test, here or up to 2"):
        read(tmp_path)
    make(tmp_path, "image_query/odd.txt", name_query="")
    (tmp_path / QUERY).unlink()
    with pytest.raises(DataError, match="no image of the split query; expected names such as"):
        read(tmp_path)


def test_the_layout_is_known_by_its_folders() -> None:
    assert is_veri776([f"VeRi/{path}" for path in IMAGES])
    assert not is_veri776([TRAIN, QUERY])
