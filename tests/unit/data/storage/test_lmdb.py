"""Values of an LMDB database: in place, in threads and forks, and damaged."""

import os
import pickle
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import lmdb
import pytest

from reid.data.storage import open_storage
from reid.data.storage.lmdb import LmdbImages
from reid.errors import DataError

VALUES = {"00_b": b"second", "00_a": b"first", "01_ü": bytes(range(256)) * 100}


def write(folder: Path, values: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    environment = lmdb.open(str(folder), lock=False, map_size=1 << 22)
    with environment, environment.begin(write=True) as transaction:
        for key, value in values.items():
            transaction.put(key.encode("latin-1" if "\xff" in key else "utf-8"), value)
    return folder


def test_members_come_in_byte_order_and_values_as_they_are(tmp_path: Path) -> None:
    write(tmp_path / "db", VALUES)
    images = open_storage(tmp_path).container("lmdb", "db")
    assert list(images.members()) == sorted(VALUES)
    assert {name: images.read(name) for name in images.members()} == VALUES


def test_the_root_itself_may_be_the_database(tmp_path: Path) -> None:
    write(tmp_path, VALUES)
    storage = open_storage(tmp_path)
    assert storage.read("lmdb://.#00_a") == b"first"
    assert storage.has("lmdb://.#00_a")
    assert storage.stamp("lmdb://.#00_a")


@pytest.mark.parametrize("key", ["00_c", "", "x" * 2000])
def test_another_key_is_missing(tmp_path: Path, key: str) -> None:
    with pytest.raises(KeyError):
        LmdbImages(write(tmp_path, VALUES)).read(key)


def test_nothing_is_written_beside_the_database(tmp_path: Path) -> None:
    write(tmp_path, VALUES)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert LmdbImages(tmp_path).read("00_b") == b"second"
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_several_openings_share_one_environment(tmp_path: Path) -> None:
    write(tmp_path / "db", VALUES)
    first, second = open_storage(tmp_path), open_storage(tmp_path / ".." / tmp_path.name)
    assert first.read("lmdb://db#00_a") == second.read("lmdb://db#00_a") == b"first"
    copy = pickle.loads(pickle.dumps(first))
    del first, second
    assert copy.read("lmdb://db#00_b") == b"second"


def test_a_database_is_closed_with_its_last_user(tmp_path: Path) -> None:
    folder = write(tmp_path / "db", VALUES)
    images = LmdbImages(folder)
    assert images.read("00_a") == b"first"
    del images
    write(folder, {"00_a": b"new"})
    assert LmdbImages(folder).read("00_a") == b"new"


def test_threads_read_at_once(tmp_path: Path) -> None:
    images = LmdbImages(write(tmp_path, VALUES))
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(images.read, ["01_ü"] * 40)) == {VALUES["01_ü"]}


def test_forked_processes_open_their_own(tmp_path: Path) -> None:
    images = LmdbImages(write(tmp_path, VALUES))
    half_way = images.members()
    assert next(half_way) == "00_a"
    process = os.fork()
    if process == 0:
        again = LmdbImages(tmp_path)
        good = images.read("00_b") == again.read("00_b") == b"second"
        os._exit(0 if good else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0
    assert list(half_way) == ["00_b", "01_ü"]
    assert images.read("00_a") == b"first"


def test_no_database_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"db: no LMDB database \(.*\); expected data.mdb"):
        LmdbImages(tmp_path / "db")
    (tmp_path / "data.mdb").write_bytes(b"junk" * 5000)
    with pytest.raises(DataError, match="no LMDB database"):
        LmdbImages(tmp_path)


def test_a_cut_database_is_an_error_and_no_crash(tmp_path: Path) -> None:
    file = write(tmp_path, VALUES) / "data.mdb"
    size = file.stat().st_size
    with file.open("r+b") as stream:
        stream.truncate(size - 4096)
    with pytest.raises(DataError, match=rf"no LMDB database \({size - 4096} bytes of {size}\)"):
        LmdbImages(tmp_path)


def test_a_key_that_is_no_text_is_an_error(tmp_path: Path) -> None:
    images = LmdbImages(write(tmp_path, {"a\xff": b"value"}))
    with pytest.raises(DataError, match=r"key b'a\\xff' is not UTF-8"):
        list(images.members())


def test_an_archive_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "db", VALUES)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(tmp_path / "db" / "data.mdb", "db/data.mdb")
    with pytest.raises(DataError, match="db lies inside an archive; expected a folder"):
        open_storage(tmp_path / "a.zip").read("lmdb://db#00_a")
