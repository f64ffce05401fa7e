"""Lists and MATLAB tables: what they may look like, and what damage is called."""

from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from reid.data.readers.listing import read_ids, read_mat, read_numbered, require_listed, roles_of
from reid.data.readers.reading import Row
from reid.data.storage import Storage, open_storage
from reid.errors import DataError


def hold(root: Path, content: str | bytes, name: str = "list.txt") -> Storage:
    data = content.encode() if isinstance(content, str) else content
    (root / name).write_bytes(data)
    return open_storage(root)


@pytest.mark.parametrize("content", ["a/b.jpg 5\nc.jpg 12", "a/b.jpg\t5\r\n\nc.jpg  012\n\n"])
def test_lines_are_a_name_and_a_number(tmp_path: Path, content: str) -> None:
    assert read_numbered(hold(tmp_path, content), "list.txt") == {"a/b.jpg": 5, "c.jpg": 12}


def test_a_name_may_hold_spaces_and_come_twice(tmp_path: Path) -> None:
    assert read_numbered(hold(tmp_path, "a b.jpg 5\na b.jpg 5"), "list.txt") == {"a b.jpg": 5}


@pytest.mark.parametrize("line", ["a.jpg", "a.jpg x", "a.jpg -1", "7", "a.jpg \u0663"])
def test_other_lines_are_errors(tmp_path: Path, line: str) -> None:
    storage = hold(tmp_path, f"b.jpg 1\n{line}\n")
    with pytest.raises(DataError, match=r"line 2 of list.txt is '.*'; expected a name and a numb"):
        read_numbered(storage, "list.txt")


def test_a_name_with_two_numbers_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"line 2 of list.txt: a.jpg has two numbers"):
        read_numbered(hold(tmp_path, "a.jpg 1\na.jpg 2"), "list.txt")


@settings(max_examples=30, deadline=None)
@given(ids=st.sets(st.integers(0, 9999), min_size=1), end=st.sampled_from(["", "\n", "\r\n"]))
def test_ids_stand_between_commas(
    tmp_path_factory: pytest.TempPathFactory, ids: set[int], end: str
) -> None:
    storage = hold(tmp_path_factory.mktemp("ids"), ",".join(map(str, ids)) + end)
    assert read_ids(storage, "list.txt") == ids


@pytest.mark.parametrize("content", ["", "1,,2", "1;2", "1,x", "-1"])
def test_other_lists_of_ids_are_errors(tmp_path: Path, content: str) -> None:
    with pytest.raises(DataError, match=r"list.txt holds '.*'; expected numbers between commas"):
        read_ids(hold(tmp_path, content), "list.txt")


def test_a_name_in_two_lists_is_an_error(tmp_path: Path) -> None:
    storage = open_storage(tmp_path)
    assert roles_of(storage, {"train": ["a"], "test": ["b"]}) == {"a": "train", "b": "test"}
    with pytest.raises(DataError, match="a is in train and in test; expected each in one of them"):
        roles_of(storage, {"train": ["a"], "test": ["b", "a"]})


def test_listed_images_must_be_there(tmp_path: Path) -> None:
    storage = hold(tmp_path, "", "odd.jpg")
    rows = [Row("good.jpg", "train", 1, 0, "1")]
    require_listed(storage, {"good.jpg": "list.txt"}, rows)
    with pytest.raises(DataError, match=r"no file lost.jpg and 1 more; expected every .* list.txt"):
        require_listed(storage, {"lost.jpg": "list.txt", "odd.jpg": "list.txt"}, rows)
    with pytest.raises(DataError, match=r"no image of the layout odd.jpg; expected"):
        require_listed(storage, {"odd.jpg": "list.txt"}, rows)


def mat(**tables: object) -> bytes:
    buffer = BytesIO()
    savemat(buffer, tables)
    return buffer.getvalue()


def test_tables_are_read_from_a_matlab_file(tmp_path: Path) -> None:
    storage = hold(tmp_path, mat(labels=[[1, 2]]), "a.mat")
    assert read_mat(storage, "a.mat", ("labels",), squeeze=True)["labels"].tolist() == [1, 2]
    with pytest.raises(DataError, match=r"a.mat lacks camId; expected a MATLAB 5 file"):
        read_mat(storage, "a.mat", ("labels", "camId"), squeeze=True)


@pytest.mark.parametrize("length", [0, 60, 130, 150])
def test_a_cut_matlab_file_is_an_error_of_one_line(tmp_path: Path, length: int) -> None:
    storage = hold(tmp_path, mat(labels=[[1, 2]])[:length], "a.mat")
    with pytest.raises(DataError, match=r"a\.mat (cannot be read|lacks)") as raised:
        read_mat(storage, "a.mat", ("labels",), squeeze=True)
    assert "\n" not in str(raised.value)
