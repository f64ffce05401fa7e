"""Tar archives: what is a file in them, and every way to be damaged."""

import io
import tarfile
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reid.data.storage import Storage, container_path, containers, open_storage
from reid.data.storage.base import Container
from reid.errors import DataError

BLOCK = 512


def write(path: Path, *names: str, form: int = tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(path, "w", format=form) as archive:
        for name in names:
            add(archive, name, name.encode("utf-8", "surrogateescape"))
    return path


def add(archive: tarfile.TarFile, name: str, data: bytes = b"", **fields: object) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field, value in fields.items():
        setattr(info, field, value)
    archive.addfile(info, io.BytesIO(data))


def message(root: Path) -> str:
    with pytest.raises(DataError) as raised:
        open_storage(root).files()
    text = str(raised.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_form_of_tar_is_read(tmp_path: Path, form: int) -> None:
    long = "n" * (90 if form == tarfile.USTAR_FORMAT else 200) + ".jpg"
    names = ("a.jpg", "张三.jpg", f"{'d' * 90}/{long}")
    storage = open_storage(write(tmp_path / "a.tar", *names, form=form))
    assert storage.files() == sorted(names)
    assert all(storage.read(name) == name.encode() for name in names)


def test_links_and_devices_are_no_files_but_shared_content_is(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        add(archive, "./a.jpg", b"content")
        add(archive, "./same.jpg", type=tarfile.LNKTYPE, linkname="./a.jpg")
        add(archive, "lost.jpg", type=tarfile.LNKTYPE, linkname="/etc/passwd")
        add(archive, "soft.jpg", type=tarfile.SYMTYPE, linkname="a.jpg")
        add(archive, "pipe", type=tarfile.FIFOTYPE)
        add(archive, "disk", type=tarfile.BLKTYPE)
        add(archive, "folder", type=tarfile.DIRTYPE)
    storage = open_storage(tmp_path / "a.tar")
    assert {path: storage.read(path) for path in storage.files()} == {
        "a.jpg": b"content",
        "same.jpg": b"content",
    }


def test_the_last_of_equal_names_counts(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name, data in (("a.jpg", b"old"), ("b.jpg", b"b"), ("./a.jpg", b"new")):
            add(archive, name, data)
    storage = open_storage(tmp_path / "a.tar")
    assert storage.files() == ["a.jpg", "b.jpg"]
    assert storage.read("a.jpg") == b"new"


@pytest.mark.parametrize("name", ["../x.jpg", "/etc/x.jpg", "a/../../x.jpg", "..\nx/../y.jpg"])
def test_a_member_that_points_outside_is_refused(tmp_path: Path, name: str) -> None:
    text = message(write(tmp_path / "a.tar", "a.jpg", name))
    assert f"member {name!r} points outside of the archive; expected paths below" in text


def test_a_member_with_backslashes_is_refused(tmp_path: Path) -> None:
    text = message(write(tmp_path / "a.tar", r"train\a.jpg"))
    assert r"member 'train\\a.jpg' has backslashes; expected paths with forward slashes" in text


def test_a_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    root = write(tmp_path / "a.tar", "\udcd5\udcc5.jpg", form=tarfile.GNU_FORMAT)
    assert r"the name '\udcd5\udcc5.jpg' is not UTF-8; expected UTF-8 names" in message(root)


def test_a_sparse_member_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.GNU_FORMAT) as archive:
        add(archive, "black.bmp", type=tarfile.GNUTYPE_SPARSE)
    assert "member 'black.bmp' is stored with holes; expected whole" in message(tmp_path / "a.tar")


def three_blocks_each(path: Path) -> bytes:
    """Three members of a header and two blocks; the second block of the last holds zeros only."""
    with tarfile.open(path, "w") as archive:
        for name in ("a.bmp", "b.bmp", "c.bmp"):
            add(archive, name, b"x" * BLOCK + bytes(BLOCK))
    return path.read_bytes()


@pytest.mark.parametrize(
    "blocks",
    [
        pytest.param(7.5, id="inside a member"),
        pytest.param(8, id="between two blocks of a member"),
        pytest.param(6, id="between two members, behind zeros"),
        pytest.param(6.5, id="inside a header"),
        pytest.param(7, id="behind a header"),
        pytest.param(9, id="behind the last member"),
    ],
)
def test_a_truncated_archive_is_told_wherever_it_ends(tmp_path: Path, blocks: float) -> None:
    root = tmp_path / "a.tar"
    root.write_bytes(three_blocks_each(root)[: int(blocks * BLOCK)])
    assert "a.tar: damaged archive (" in message(root)
    assert "expected a whole archive. Download or copy the archive again." in message(root)


def test_a_damaged_header_does_not_hide_the_members_behind_it(tmp_path: Path) -> None:
    root = tmp_path / "a.tar"
    whole = three_blocks_each(root)
    root.write_bytes(whole[: 3 * BLOCK] + b"?" + whole[3 * BLOCK + 1 :])
    assert f"damaged archive (no member and no end at byte {3 * BLOCK})" in message(root)


def test_an_archive_that_shrinks_while_open_is_an_error(tmp_path: Path) -> None:
    root = tmp_path / "a.tar"
    whole = three_blocks_each(root)
    storage = open_storage(root)
    assert storage.files() == ["a.bmp", "b.bmp", "c.bmp"]
    root.write_bytes(whole[: 8 * BLOCK])
    with pytest.raises(DataError, match=f"it ends at byte {8 * BLOCK}, inside a member"):
        storage.read("c.bmp")


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_damage_leads_to_another_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    root = tmp_path_factory.mktemp("damaged") / "a.tar"
    content = bytearray(three_blocks_each(root)[: 10 * BLOCK])
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    root.write_bytes(content)
    with suppress(DataError):
        storage = open_storage(root)
        assert all(storage.read(path) is not None for path in storage.files())


def test_a_shard_in_a_folder_is_read_in_place(tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    write(tmp_path / "shards/00.tar", "US/b.jpg", "US/a#1.jpg")
    storage = open_storage(tmp_path)
    shard = storage.container("tar", "shards/00.tar")
    assert list(shard.members()) == ["US/a#1.jpg", "US/b.jpg"]
    assert storage.container("tar", "shards/00.tar") is shard
    path = container_path("tar", "shards/00.tar", "US/a#1.jpg")
    assert path == "tar://shards/00.tar#US/a#1.jpg"
    assert storage.has(path)
    assert storage.read(path) == b"US/a#1.jpg"
    assert storage.stamp(path) == storage.stamp("shards/00.tar")
    with pytest.raises(DataError, match=r"no file tar://shards/00.tar#US/z.jpg; expected the file"):
        storage.read(container_path("tar", "shards/00.tar", "US/z.jpg"))


def test_threads_open_a_shard_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "00.tar", "a.jpg")
    storage = open_storage(tmp_path)
    opened: list[str] = []
    others = threading.Event()
    real = containers.open_container

    def slow(scheme: str, data: Storage, name: str) -> Container:
        opened.append(name)
        others.wait(0.05)  # time for the other threads to come here too
        return real(scheme, data, name)

    monkeypatch.setattr(containers, "open_container", slow)
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: id(storage.container("tar", "00.tar")), range(8)))
    assert (len(opened), len(found)) == (1, 1)


def test_a_missing_or_damaged_shard_is_an_error_of_one_line(tmp_path: Path) -> None:
    storage = open_storage(tmp_path)
    gone = container_path("tar", "gone.tar", "a.jpg")
    assert not storage.has(gone)
    with pytest.raises(DataError, match=r"gone\.tar: cannot be read .No such file or directory"):
        storage.read(gone)
    (tmp_path / "bad.tar").write_bytes(b"no archive")
    with pytest.raises(DataError, match=r"bad\.tar: damaged archive .truncated header.; expected"):
        storage.read(container_path("tar", "bad.tar", "a.jpg"))
