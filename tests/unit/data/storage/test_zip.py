"""Zip archives: names in other scripts, unsafe members, and every way to be damaged."""

import io
import stat
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reid.data.storage import open_storage
from reid.data.storage import zip as zip_module
from reid.errors import DataError

ENCRYPTED_BIT, CENTRAL_FLAGS = 0x1, 8


def write(path: Path, *names: str, method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name in names:
            archive.writestr(name, name.encode() * 50)
    return path


def message(root: Path, path: str | None = None) -> str:
    storage = open_storage(root)
    with pytest.raises(DataError) as raised:
        storage.files() if path is None else storage.read(path)
    text = str(raised.value)
    assert "\n" not in text
    return text


def central(content: bytes) -> int:
    """Find the first entry of the list of members."""
    return content.index(b"PK\x01\x02")


def test_names_in_other_scripts_are_read(tmp_path: Path) -> None:
    names = ("Ольга/1.jpg", "é.jpg", "张三/1.jpg", "محمد/1.jpg")
    storage = open_storage(write(tmp_path / "a.zip", *names))
    assert storage.files() == sorted(names)
    assert storage.read("张三/1.jpg") == "张三/1.jpg".encode() * 50


def test_names_without_the_mark_of_utf8_are_read_as_code_page_437(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("e.jpg", b"content")
    old = (tmp_path / "a.zip").read_bytes().replace(b"e.jpg", b"\x82.jpg")
    (tmp_path / "a.zip").write_bytes(old)
    storage = open_storage(tmp_path / "a.zip")
    assert storage.files() == ["é.jpg"]
    assert storage.read("é.jpg") == b"content"


def test_links_and_folders_are_no_files(tmp_path: Path) -> None:
    root = write(tmp_path / "a.zip", "a.jpg")
    with zipfile.ZipFile(root, "a") as archive:
        archive.mkdir("folder")
        link = zipfile.ZipInfo("soft.jpg")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "a.jpg")
    assert open_storage(root).files() == ["a.jpg"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_the_last_of_equal_names_counts(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name, data in (("a.jpg", "old"), ("b.jpg", "b"), ("a.jpg", "new")):
            archive.writestr(name, data)
    storage = open_storage(tmp_path / "a.zip")
    assert storage.files() == ["a.jpg", "b.jpg"]
    assert storage.read("a.jpg") == b"new"


def test_an_empty_archive_has_no_files(tmp_path: Path) -> None:
    assert open_storage(write(tmp_path / "a.zip")).files() == []


def test_an_archive_behind_another_file_is_read(tmp_path: Path) -> None:
    root = write(tmp_path / "a.zip", "a.jpg")
    root.write_bytes(b"PK and a program that unpacks what follows" + root.read_bytes())
    assert open_storage(root).read("a.jpg") == b"a.jpg" * 50


@pytest.mark.parametrize("name", ["../x.jpg", "/etc/x.jpg", "a/../../x.jpg", "..\nx/../y.jpg"])
def test_a_member_that_points_outside_is_refused(tmp_path: Path, name: str) -> None:
    text = message(write(tmp_path / "a.zip", "a.jpg", name))
    assert f"member {name!r} points outside of the archive; expected paths below" in text


def test_a_member_with_backslashes_is_refused(tmp_path: Path) -> None:
    text = message(write(tmp_path / "a.zip", r"train\a.jpg"))
    assert r"member 'train\\a.jpg' has backslashes; expected paths with forward slashes" in text


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    root = write(tmp_path / "a.zip", "a.jpg")
    content = bytearray(root.read_bytes())
    content[central(bytes(content)) + CENTRAL_FLAGS] |= ENCRYPTED_BIT
    root.write_bytes(content)
    assert "'a.jpg' is encrypted; expected a plain archive. Decrypt it." in message(root)


def test_a_rare_compression_is_refused(tmp_path: Path) -> None:
    root = write(tmp_path / "a.zip", "a.jpg", method=zipfile.ZIP_LZMA)
    assert "'a.jpg' is compressed in a rare way; expected stored or deflated" in message(root)


@pytest.mark.parametrize("ratio", [0.3, 0.97])
def test_a_truncated_archive_is_damaged(tmp_path: Path, ratio: float) -> None:
    root = write(tmp_path / "a.zip", "a.jpg", "b.jpg")
    whole = root.read_bytes()
    root.write_bytes(whole[: int(len(whole) * ratio)])
    assert "a.zip: damaged archive (File is not a zip file); expected a whole" in message(root)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_damaged_member_is_told_when_it_is_read(tmp_path: Path, method: int) -> None:
    root = write(tmp_path / "a.zip", "a.jpg", "b.jpg", method=method)
    content = bytearray(root.read_bytes())
    content[content.index(b"b.jpg") + len("b.jpg") + 3] ^= 0x55
    root.write_bytes(content)
    storage = open_storage(root)
    assert storage.files() == ["a.jpg", "b.jpg"]
    assert storage.read("a.jpg") == b"a.jpg" * 50
    assert "a.zip: damaged archive (" in message(root, "b.jpg")
    assert "'b.jpg'" in message(root, "b.jpg")


def test_a_member_cut_short_inside_is_damaged_and_not_short(tmp_path: Path) -> None:
    root = write(tmp_path / "a.zip", "a.jpg", method=zipfile.ZIP_DEFLATED)
    content = bytearray(root.read_bytes())
    size = central(bytes(content)) + 20
    content[size : size + 4] = (5).to_bytes(4, "little")  # as if only 5 bytes had been written
    root.write_bytes(content)
    assert "the checksum of 'a.jpg' is wrong" in message(root, "a.jpg")


def test_a_member_that_swells_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.jpg", bytes(5001))
        archive.writestr("just.jpg", bytes(5000))
    monkeypatch.setattr(zip_module, "LARGEST_MEMBER", 5000)
    assert open_storage(tmp_path / "a.zip").read("just.jpg") == bytes(5000)
    text = message(tmp_path / "a.zip", "bomb.jpg")
    assert "'bomb.jpg' unpacks to more than 5000 bytes; expected images and lists" in text


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_damage_leads_to_another_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("a.jpg", "b/é.jpg"):
            archive.writestr(name, name * 9)
    content = bytearray(packed.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(2, len(content) - 1))] = data.draw(st.integers(0, 255))
    root = tmp_path_factory.mktemp("damaged") / "a.zip"
    root.write_bytes(content)
    storage = open_storage(root)
    with suppress(DataError):
        for path in storage.files():
            assert storage.read(path) in (b"a.jpg" * 9, "b/é.jpg".encode() * 9)
