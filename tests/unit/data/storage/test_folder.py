"""Folders: links, loops, names and rights."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from reid.data.storage import container_path, open_storage
from reid.errors import DataError


def touch(path: Path, data: bytes = b"x") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def test_links_to_files_and_folders_outside_are_followed(tmp_path: Path) -> None:
    touch(tmp_path / "elsewhere/a.jpg", b"outside")
    touch(tmp_path / "root/b.jpg")
    (tmp_path / "root/a.jpg").symlink_to(tmp_path / "elsewhere/a.jpg")
    (tmp_path / "root/once").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root/twice").symlink_to(tmp_path / "elsewhere")
    storage = open_storage(tmp_path / "root")
    assert storage.files() == ["a.jpg", "b.jpg", "once/a.jpg", "twice/a.jpg"]
    assert storage.read("twice/a.jpg") == storage.read("a.jpg") == b"outside"


def test_a_root_may_be_a_link(tmp_path: Path) -> None:
    touch(tmp_path / "real/a.jpg")
    (tmp_path / "root").symlink_to("real")
    assert open_storage(tmp_path / "root").files() == ["a.jpg"]


@pytest.mark.parametrize("target", ["..", ".", "../../root"])
def test_a_link_that_leads_back_is_an_error_of_one_line(tmp_path: Path, target: str) -> None:
    touch(tmp_path / "root/deep/a.jpg")
    (tmp_path / "root/deep/again").symlink_to(target)
    with pytest.raises(
        DataError, match=r"again: a link that leads back to .*; expected folders wi"
    ):
        open_storage(tmp_path / "root").files()


def test_a_link_to_itself_is_an_error_of_one_line(tmp_path: Path) -> None:
    (tmp_path / "ring").symlink_to("ring")
    with pytest.raises(DataError, match=r"cannot be read .Too many levels of symbolic links.; exp"):
        open_storage(tmp_path).files()


def test_a_dead_link_is_listed_and_fails_when_read(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").symlink_to("removed.jpg")
    storage = open_storage(tmp_path)
    assert storage.files() == ["a.jpg"]
    with pytest.raises(DataError, match=r"no file a.jpg; expected the file"):
        storage.read("a.jpg")
    for use in (storage.read_file, storage.open_file, storage.stamp):
        with pytest.raises(DataError, match=r"a\.jpg: cannot be read .No such file or directory"):
            use("a.jpg")


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    touch(tmp_path / "a.jpg")
    assert open_storage(tmp_path).files() == ["a.jpg"]


def test_a_name_that_is_not_utf8_is_an_error_that_shows_it(tmp_path: Path) -> None:
    touch(tmp_path / os.fsdecode(b"\xd5\xc5\xc8\xfd.jpg"))  # Chinese in GBK
    with pytest.raises(DataError, match=r"the name '.*udcd5.*\.jpg' is not UTF-8; .* Rename the"):
        open_storage(tmp_path).files()


def test_a_folder_without_rights_is_an_error_of_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path / "open/a.jpg")
    touch(tmp_path / "shut/b.jpg")
    scan: Callable[[Path], object] = os.scandir

    def refuse(folder: Path) -> object:  # rights do not bind the superuser
        if Path(folder).name == "shut":
            raise PermissionError(13, "Permission denied")
        return scan(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataError, match=r"shut: cannot be read .Permission denied") as raised:
        open_storage(tmp_path).files()
    assert "expected a readable file. Check the rights." in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_unknown_container_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"container 'rar://a.rar'; expected one of hdf5, lmdb, tar"
    ):
        open_storage(tmp_path).read(container_path("rar", "a.rar", "b.jpg"))
