"""Shards are plain tar archives with an index, and equal files give equal shards."""

import tarfile
from pathlib import Path

import pytest

from reid.data.storage import open_storage, shards
from reid.data.storage.shards import INDEX_FILE, is_packed, pack_files
from reid.errors import DataError

NAMES = [f"{n:04}/é{n}.jpg" for n in range(7)]


@pytest.fixture
def packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(shards, "FILES_PER_SHARD", 3)
    for number, name in enumerate(NAMES):
        path = tmp_path / "loose" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(bytes([number]) * 500 * number)
    loose = open_storage(tmp_path / "loose")
    seen: list[tuple[int, int]] = []
    pack_files(loose, loose.files(), tmp_path / "packed", lambda *done: seen.append(done))
    assert seen == [(3, 7), (6, 7), (7, 7)]
    return tmp_path / "packed"


def test_any_tool_unpacks_a_shard(packed: Path) -> None:
    names = []
    for shard in sorted(packed.glob("*.tar")):
        with tarfile.open(shard) as archive:
            for member in archive:
                content = archive.extractfile(member)
                assert content is not None
                assert content.read() == open_storage(packed).read(member.name)
                names.append(member.name)
    assert names == NAMES
    assert len(list(packed.glob("*.tar"))) == 3


def test_equal_files_give_equal_shards(packed: Path, tmp_path: Path) -> None:
    storage = open_storage(packed)
    pack_files(storage, storage.files(), tmp_path / "again", lambda _done, _total: None)
    for file in packed.iterdir():
        assert (tmp_path / "again" / file.name).read_bytes() == file.read_bytes()


def test_a_changed_shard_is_damage(packed: Path) -> None:
    shard = packed / "00001.tar"
    data = bytearray(shard.read_bytes())
    at = data.index(bytes([4]) * 500)
    data[at] = 99
    shard.write_bytes(data)
    with pytest.raises(DataError, match=r"00001\.tar: damaged archive .the checksum of '0004/é4"):
        open_storage(packed).read(NAMES[4])
    shard.write_bytes(data[:600])
    with pytest.raises(DataError, match=r"damaged archive .it ends at byte"):
        open_storage(packed).read(NAMES[5])


def test_a_damaged_index_is_one_line(packed: Path) -> None:
    assert is_packed(packed)
    (packed / INDEX_FILE).write_bytes(b"no parquet")
    with pytest.raises(DataError, match=r"index\.parquet: cannot be read") as raised:
        open_storage(packed).files()
    assert "\n" not in str(raised.value)
