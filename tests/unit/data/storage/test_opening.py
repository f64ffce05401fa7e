"""One tree as a folder, a zip and a tar: the same files, the same bytes, in any process."""

import ast
import gzip
import os
import pickle
import random
import subprocess
import sys
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from reid.data.storage import Storage, open_storage
from reid.data.storage.folder import FolderStorage
from reid.data.storage.opening import compression_of
from reid.data.storage.shards import ShardStorage, pack_files
from reid.data.storage.tar import TarStorage
from reid.data.storage.zip import ZipStorage
from reid.errors import DataError

KINDS = ("folder", "stored", "deflated", "tar", "dotted tar", "shards")
TREE = {
    "list.txt": b"\xef\xbb\xbf0001/a.jpg 1\n",
    "0001/a.jpg": b"a" * 5000,
    "0001/b.JPG": bytes(range(256)) * 9,
    "0001/empty.jpg": b"",
    "0002/c d#e.png": random.Random(1).randbytes(3000),
    "0002/deep/er/f.jpg": b"f",
    "Ольга/é.jpg": b"olga",
    "张三/一.jpg": b"zhang",
    "__MACOSX/0001/._a.jpg": b"sidecar",
}
IN_BYTE_ORDER = sorted(TREE, key=str.encode)


def make(folder: Path, kind: str, tree: dict[str, bytes] = TREE) -> Storage:
    """Write a tree in one of its forms and open it."""
    files = folder / "files"
    for path, data in tree.items():
        (files / path).parent.mkdir(parents=True, exist_ok=True)
        (files / path).write_bytes(data)
    if kind == "folder":
        return open_storage(files)
    if kind == "shards":
        loose = open_storage(files)
        pack_files(loose, loose.files(), folder / "packed", lambda _done, _total: None)
        return open_storage(folder / "packed")
    archive = folder / "a file without suffix"
    if kind.endswith("tar"):
        with tarfile.open(archive, "w") as tar:
            tar.add(files, "." if kind.startswith("dotted") else "")
    else:
        with zipfile.ZipFile(archive, "w") as packed:
            for path, data in tree.items():
                method = zipfile.ZIP_STORED if kind == "stored" else zipfile.ZIP_DEFLATED
                packed.writestr(path, data, compress_type=method)
            packed.mkdir("0003")
    return open_storage(archive)


@pytest.fixture(params=KINDS)
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    return make(tmp_path, request.param)


def test_every_form_gives_the_same_files(storage: Storage) -> None:
    assert storage.files() == IN_BYTE_ORDER
    assert {path: storage.read(path) for path in storage.files()} == TREE
    assert storage.read_text("list.txt") == "0001/a.jpg 1\n"
    with storage.open_file("0001/b.JPG") as file:
        file.seek(-2, os.SEEK_END)
        assert file.read() == b"\xfe\xff"


def test_what_is_not_there_is_said_in_one_line(storage: Storage) -> None:
    for path in ("0001/z.jpg", "0001", "0001/", "", "zzz", "0001/a.jpg/b", "é" * 90):
        assert not storage.has(path)
    with pytest.raises(DataError, match=r"no file 0001/z\.jpg; expected the file") as raised:
        storage.read("0001/z.jpg")
    assert "\n" not in str(raised.value)
    with pytest.raises(DataError, match=r"0002/c d#e.png is not UTF-8 text; expected a text file"):
        storage.read_text("0002/c d#e.png")


@pytest.mark.parametrize("kind", KINDS)
def test_a_stamp_changes_with_the_content(tmp_path: Path, kind: str) -> None:
    before = make(tmp_path / "a", kind).stamp("0001/a.jpg")
    root = make(tmp_path / "b", kind, {**TREE, "0001/a.jpg": TREE["0001/a.jpg"][::-1] + b"!"}).root
    assert open_storage(root).stamp("0001/a.jpg") != before


@pytest.mark.parametrize("kind", ["stored", "deflated"])
def test_checksums_outlive_a_copy_of_the_archive(tmp_path: Path, kind: str) -> None:
    storage = make(tmp_path, kind)
    before = storage.stamp("0001/a.jpg")
    os.utime(storage.root, ns=(1, 1))
    assert open_storage(storage.root).stamp("0001/a.jpg") == before


def read_at_random(storage: Storage, seed: int, times: int) -> bool:
    paths = random.Random(seed).choices(IN_BYTE_ORDER, k=times)
    return all(storage.read(path) == TREE[path] for path in paths)


def test_eight_threads_read_right(storage: Storage) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda seed: read_at_random(storage, seed, 200), range(8)))


def test_a_forked_process_reads_right_beside_its_parent(storage: Storage) -> None:
    assert storage.has("0001/a.jpg")  # the parent's index and file are inherited
    child = os.fork()
    if child == 0:
        os._exit(0 if read_at_random(storage, 1, 500) else 1)
    assert read_at_random(storage, 2, 500)
    assert os.waitpid(child, 0)[1] == 0


def test_pickled_storages_open_anew_in_another_program(tmp_path: Path) -> None:
    storages = {kind: make(tmp_path / kind, kind) for kind in KINDS}
    script = (
        "import pickle, sys\n"
        "storages = pickle.load(sys.stdin.buffer)\n"
        "print(ascii({k: {path: s.read(path) for path in s.files()} for k, s in storages.items()}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        input=pickle.dumps(storages),
        capture_output=True,
        check=True,
    )
    assert ast.literal_eval(done.stdout.decode()) == dict.fromkeys(KINDS, TREE)


def test_a_pickled_storage_whose_archive_is_gone_says_so(tmp_path: Path) -> None:
    storage = make(tmp_path, "tar")
    assert storage.has("0001/a.jpg")
    pickled = pickle.dumps(storage)
    storage.root.unlink()
    with pytest.raises(DataError, match=r"cannot be read .No such file or directory.; expected an"):
        pickle.loads(pickled)


def test_archives_are_told_by_content_and_not_by_suffix(tmp_path: Path) -> None:
    found = {kind: type(make(tmp_path / kind, kind)) for kind in KINDS}
    assert found == {
        "folder": FolderStorage,
        "stored": ZipStorage,
        "deflated": ZipStorage,
        "tar": TarStorage,
        "shards": ShardStorage,
        "dotted tar": TarStorage,
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "an empty file; expected a folder, a zip archive or a tar archive. Download"),
        (b"  \n<!DOCTYPE html><title>Log in</title>", "a web page, not an archive; expected"),
        (b"\x89PNG and so on", "neither folder nor archive; expected a folder"),
        (
            gzip.compress(b"a tar archive", mtime=0),
            "compressed with gzip, so members cannot be found one",
        ),
        (b"BZh91AY", "compressed with bzip2"),
        (b"\xfd7zXZ\x00", "compressed with xz"),
        (b"PK\x03\x04 and then the line broke", "damaged archive .File is not a zip file.; exp"),
    ],
)
def test_what_is_no_archive_is_named_in_one_line(
    tmp_path: Path, content: bytes, message: str
) -> None:
    root = tmp_path / "Market-1501.zip"
    root.write_bytes(content)
    with pytest.raises(DataError, match=f"Market-1501.zip: {message}") as raised:
        open_storage(root).files()
    assert "\n" not in str(raised.value)


def test_a_path_to_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"nowhere: cannot be read .No such file or directory.; exp"
    ):
        open_storage(tmp_path / "nowhere")


def test_compression_is_told_from_the_first_bytes() -> None:
    assert compression_of(gzip.compress(b"", mtime=0)) == "gzip"
    assert compression_of(b"PK\x03\x04") is None


def test_only_a_folder_says_where_a_file_lies(tmp_path: Path) -> None:
    folder = make(tmp_path, "folder")
    assert folder.local_path("0001/a.jpg").read_bytes() == TREE["0001/a.jpg"]
    with pytest.raises(DataError, match=r"0001/a.jpg lies inside an archive; expected a folder"):
        make(tmp_path, "tar").local_path("0001/a.jpg")
