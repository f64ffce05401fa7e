"""LUPerson and LUPerson-NL as tree, database and shards; pickles beside them are never loaded."""

import pickle
import tarfile
import zipfile
from pathlib import Path

import lmdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reid.data.readers.luperson import (
    is_luperson,
    is_luperson_nl,
    read_luperson,
    read_luperson_nl,
)
from reid.data.readers.luperson_names import (
    LUPERSON,
    LUPERSON_NL,
    Place,
    lmdb_keys,
    parse_row,
    place_of,
)
from reid.data.readers.reading import BAD_NAME, NOT_AN_IMAGE, SIDECAR
from reid.data.storage import open_storage
from reid.errors import DataError

TREE = (
    "luperson/US/Austin/US+Austin+v.mp4/00000001_0000.jpg",
    "luperson/US/Austin/US+Austin+v.mp4/00000001_0001.JPG",
    "luperson/US/Boston/00000007_0003.jpg",
)
TREE_NL = (
    "FR/Paris/FR+Paris+w.mp4/000010_0002713_02.jpg",
    "JP/Tokyo/JP+Tokyo+w.mp4/000020_0000001_00.jpg",
)
CONTAINER = "container, not an image file"
FOLDER = "US/Austin/US+Austin+v.mp4"


def make(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(path)
    return root


def write_database(folder: Path, *keys: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    environment = lmdb.open(str(folder), lock=False, map_size=1 << 20)
    with environment, environment.begin(write=True) as transaction:
        for key in keys:
            transaction.put(key.encode(), key.encode())


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.target,)


@settings(max_examples=50, deadline=None)
@given(frame=st.integers(0, 10**8 - 1), thing=st.integers(0, 9999), video=st.booleans())
def test_a_name_carries_the_frame(frame: int, thing: int, video: bool) -> None:
    folder = FOLDER if video else "US/Austin"
    row = parse_row(f"{folder}/{frame:08}_{thing:04}.jpg", LUPERSON)
    assert row is not None
    assert (row.frame, row.session) == (frame, "US+Austin+v.mp4" if video else None)
    assert (row.pid, row.camid, row.cam_raw, row.noisy_label) == (None, None, None, False)
    assert (row.split, row.flag, row.modality) == ("pretrain", "ok", "rgb")


@settings(max_examples=50, deadline=None)
@given(pid=st.integers(0, 10**6 - 1), frame=st.integers(0, 10**7 - 1), thing=st.integers(0, 99))
def test_a_name_of_nl_carries_a_noisy_person(pid: int, frame: int, thing: int) -> None:
    row = parse_row(f"{FOLDER}/{pid:06}_{frame:07}_{thing:02}.jpg", LUPERSON_NL)
    assert row is not None
    assert (row.pid, row.frame, row.noisy_label) == (pid, frame, True)


@pytest.mark.parametrize(
    "path",
    [
        f"{FOLDER}/0000001_0000.jpg",
        f"{FOLDER}/00000001_000.jpg",
        f"{FOLDER}/00000001_0000.png",
        f"{FOLDER}/00000001_0000.jpg\n",
        f"{FOLDER}/x00000001_0000.jpg",
        f"{FOLDER}/00000001-0000.jpg",
        f"{FOLDER}/0000000\u0661_0000.jpg",
        "Austin/00000001_0000.jpg",
        "00000001_0000.jpg",
        f"{FOLDER}/000010_0002713_02.jpg",
    ],
)
def test_near_misses_are_no_rows(path: str) -> None:
    assert parse_row(path, LUPERSON) is None


@pytest.mark.parametrize(
    "name", ["00010_0002713_02.jpg", "000010_002713_02.jpg", "000010_0002713.jpg"]
)
def test_near_misses_of_nl_are_no_rows(name: str) -> None:
    assert parse_row(f"{FOLDER}/{name}", LUPERSON_NL) is None


def test_both_depths_of_the_tree() -> None:
    assert place_of("a/b/US/Austin/US+Austin+v") == Place("a/b/", "US", "Austin", "US+Austin+v")
    assert place_of("US/Austin/other.MP4") == Place("", "US", "Austin", "other.MP4")
    assert place_of("home/US/Austin") == Place("home/", "US", "Austin", "")
    assert place_of("Austin") is None


def test_rows_come_in_byte_order_as_often_as_asked(tmp_path: Path) -> None:
    reading = read_luperson(open_storage(make(tmp_path, *TREE)))
    assert [row.path for row in reading.rows] == list(TREE)
    assert list(reading.rows) == list(reading.rows)
    assert (reading.benchmark, reading.layout, reading.ignored) == ("luperson", "luperson", ())


def test_an_archive_gives_the_same_rows(tmp_path: Path) -> None:
    root = make(tmp_path / "tree", *TREE_NL)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for path in reversed(TREE_NL):
            archive.write(root / path, path)
    folder, zipped = (read_luperson_nl(open_storage(p)) for p in (root, tmp_path / "a.zip"))
    assert list(folder.rows) == list(zipped.rows)


def test_other_files_are_ignored_with_a_reason(tmp_path: Path) -> None:
    make(tmp_path, *TREE, "lup_lmdb/data.mdb", "lup_lmdb/lock.mdb", "a.tar", "keys.pkl")
    make(tmp_path, "luperson/US/Austin/odd.jpg", "luperson/list.txt", f"__MACOSX/{TREE[0]}")
    reading = read_luperson(open_storage(tmp_path))
    assert {file.path: file.reason for file in reading.ignored} == {
        "lup_lmdb/data.mdb": CONTAINER,
        "lup_lmdb/lock.mdb": CONTAINER,
        "a.tar": CONTAINER,
        "keys.pkl": "key list",
        "luperson/US/Austin/odd.jpg": BAD_NAME,
        "luperson/list.txt": NOT_AN_IMAGE,
        f"__MACOSX/{TREE[0]}": SIDECAR,
    }
    assert reading.unlisted == ("luperson/US/Austin/odd.jpg",)
    assert reading.warnings == (f"luperson/US/Austin/odd.jpg: ignored, {BAD_NAME}",)
    assert [row.path for row in reading.rows] == list(TREE)


def test_a_database_alone_is_read_by_its_keys(tmp_path: Path) -> None:
    write_database(tmp_path / "lup_lmdb", "00_00_0000_00000001", "00_00_0000_00000000", "size")
    reading = read_luperson(open_storage(tmp_path))
    first, second = reading.rows
    assert first.path == "lmdb://lup_lmdb#00_00_0000_00000000"
    assert second.path == "lmdb://lup_lmdb#00_00_0000_00000001"
    assert (first.pid, first.frame, first.session) == (None, None, "00_00_0000")
    assert reading.warnings == ("lup_lmdb: 1 members ignored that are no image, the last size",)
    assert open_storage(tmp_path).read(first.path) == b"00_00_0000_00000000"


def test_a_database_of_nl_has_persons(tmp_path: Path) -> None:
    write_database(tmp_path / "lupnl_lmdb/lmdb", "00002_000020_0067155_03")
    (row,) = read_luperson_nl(open_storage(tmp_path)).rows
    assert row.path == "lmdb://lupnl_lmdb/lmdb#00002_000020_0067155_03"
    assert (row.pid, row.frame, row.session, row.noisy_label) == (20, 67155, "00002", True)


def test_several_databases_in_byte_order(tmp_path: Path) -> None:
    for name in ("a", "a!", "a1"):
        write_database(tmp_path / name, "00_00_0000_00000000")
    paths = [row.path for row in read_luperson(open_storage(tmp_path)).rows]
    assert len(paths) == 3
    assert paths == sorted(paths)


def test_shards_are_read_by_their_members(tmp_path: Path) -> None:
    make(tmp_path / "tree", *TREE, f"__MACOSX/{TREE[0]}")
    (tmp_path / "shards").mkdir()
    for number, paths in enumerate((TREE[:1], (*TREE[1:], f"__MACOSX/{TREE[0]}"))):
        with tarfile.open(tmp_path / f"shards/{number}.tar", "w") as shard:
            for path in paths:
                shard.add(tmp_path / "tree" / path, path)
    storage = open_storage(tmp_path / "shards")
    reading = read_luperson(storage)
    expected = [f"tar://0.tar#{TREE[0]}", *(f"tar://1.tar#{path}" for path in TREE[1:])]
    assert [row.path for row in reading.rows] == expected
    assert [storage.read(row.path).decode() for row in reading.rows] == list(TREE)
    assert [row.session for row in reading.rows] == ["US+Austin+v.mp4", "US+Austin+v.mp4", None]
    assert [file.reason for file in reading.ignored] == [CONTAINER, CONTAINER]
    assert len(reading.warnings) == 1


def test_a_pickle_beside_the_data_never_runs(tmp_path: Path) -> None:
    write_database(tmp_path / "lupnl_lmdb/lmdb", "00002_000020_0067155_03")
    ran = tmp_path / "ran"
    payload = pickle.dumps({"keys": ["00002_000020_0067155_03"], "pids": Payload(ran)})
    (tmp_path / "lupnl_lmdb/keys.pkl").write_bytes(payload)
    assert [row.pid for row in read_luperson_nl(open_storage(tmp_path)).rows] == [20]
    make(tmp_path, *TREE_NL)
    assert [row.pid for row in read_luperson_nl(open_storage(tmp_path)).rows] == [10, 20]
    assert not ran.exists()
    pickle.loads(payload)
    assert ran.exists()  # else the test could not fail


def test_keys_count_places_by_name() -> None:
    paths = [
        "US/Boston/US+Boston+v.mp4/00000002_0000.jpg",
        "US/Austin/US+Austin+w.mp4/00000002_0000.jpg",
        "US/Austin/US+Austin+v.mp4/00000009_0000.jpg",
        "US/Austin/US+Austin+v.mp4/00000002_0000.jpg",
        "US-x/Austin/00000002_0000.jpg",  # after US by name, before it by path
        "BR/Rio/00000002_0000.jpg",
        "BR/Rio/readme.txt",
    ]
    keys = dict(lmdb_keys(paths, LUPERSON))
    assert [keys.get(path) for path in paths] == [
        "01_01_0000_00000000",
        "01_00_0001_00000000",
        "01_00_0000_00000001",
        "01_00_0000_00000000",
        "02_00_0000_00000000",
        "00_00_0000_00000000",
        None,
    ]


def test_keys_of_nl_count_all_videos() -> None:
    assert dict(lmdb_keys(reversed(TREE_NL), LUPERSON_NL)) == {
        TREE_NL[0]: "00001_000010_0002713_02",
        TREE_NL[1]: "00002_000020_0000001_00",
    }


def test_keys_lead_to_the_same_rows_and_bytes(tmp_path: Path) -> None:
    keys = dict(lmdb_keys(TREE_NL, LUPERSON_NL))
    write_database(tmp_path / "lupnl_lmdb/lmdb", *keys.values())
    rows = {
        row.path.partition("#")[2]: row for row in read_luperson_nl(open_storage(tmp_path)).rows
    }
    for path, key in keys.items():
        row = parse_row(path, LUPERSON_NL)
        assert row is not None
        assert (rows[key].pid, rows[key].frame) == (row.pid, row.frame)


@pytest.mark.parametrize("files", [(), ("readme.txt",), ("a/b/odd.jpg",)])
def test_nothing_to_read_is_an_error_of_one_line(tmp_path: Path, files: tuple[str, ...]) -> None:
    with pytest.raises(DataError, match=r"no image of luperson .no data.mdb and no tar") as raised:
        read_luperson(open_storage(make(tmp_path, *files)))
    assert "\n" not in str(raised.value)


def test_a_database_of_the_other_data_set_is_an_error(tmp_path: Path) -> None:
    write_database(tmp_path / "lup_lmdb", "00_00_0000_00000000")
    with pytest.raises(DataError, match=r"no image of luperson_nl \(lup_lmdb\); expected names su"):
        read_luperson_nl(open_storage(tmp_path))


def test_layouts_are_told_apart() -> None:
    for paths in (TREE, ["a/lup_lmdb/data.mdb", "keys.pkl"], ["lup_lmdb/data.mdb"]):
        assert is_luperson(list(paths))
        assert not is_luperson_nl(list(paths))
    for paths in (TREE_NL, ["lupnl_lmdb/lmdb/data.mdb"], ["x/lupnl_lmdb/data.mdb"]):
        assert is_luperson_nl(list(paths))
        assert not is_luperson(list(paths))
    for paths in (["a.tar"], [f"__MACOSX/{TREE[0]}"], ["xlup_lmdb/data.mdb"], []):
        assert not is_luperson(paths)
        assert not is_luperson_nl(paths)
