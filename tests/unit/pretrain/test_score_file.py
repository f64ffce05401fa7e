import pickle
from argparse import Namespace
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reid.errors import DataError
from reid.pretrain.score_file import convert_list, read_scores, write_scores


def test_written_scores_come_back_best_first(tmp_path: Path) -> None:
    names, scores = ["d", "b", "a", "c"], np.array([0.5, -1.0, 0.5, 0.75])
    for name in ("one.parquet", "two.parquet"):
        write_scores(tmp_path / name, names, scores, {"score": "toy"})
    found = read_scores(tmp_path / "one.parquet")
    assert list(found.by_path.items()) == [("c", 0.75), ("a", 0.5), ("d", 0.5), ("b", -1.0)]
    assert pq.read_metadata(tmp_path / "one.parquet").metadata[b"score"] == b"toy"
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()


def test_tables_may_have_other_types_and_columns(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("score,camera,path\n3,x,0001\n-1e-2,y,0002\n")
    assert read_scores(tmp_path / "s.csv").by_path == {"0001": 3.0, "0002": -0.01}
    table = pa.table({"path": pa.array(["a"]).dictionary_encode(), "score": pa.array([2])})
    pq.write_table(table, tmp_path / "s.parquet")
    assert read_scores(tmp_path / "s.parquet").by_path == {"a": 2.0}


def test_the_rank_in_a_list_is_its_score(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes("\ufeffb c.jpg\r\n\na\n\u2028é".encode())
    assert read_scores(tmp_path / "list.txt").by_path == {"b c.jpg": 0, "a": -1, "\u2028é": -2}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("s.csv", "path,score\na,nan\nb,\nc,1\n", "2 scores are no finite number, first .* 'a'"),
        ("s.csv", "path,score\na,inf\n", "1 scores are no finite number"),
        ("s.csv", "path,score\na,1\na,2\n", "'a' stands twice"),
        ("s.csv", "path,score\n,1\n", "an empty path"),
        ("s.csv", "path,score\na,much\n", "cannot be read"),
        ("s.csv", "path,rank\na,1\n", "no column 'score' among path, rank"),
        ("s.csv", "path,score\n", "no images"),
        ("s.parquet", "no table", "cannot be read"),
        ("list.txt", "a\nb\na\n", "'a' stands twice"),
        ("list.txt", "\n", "no images"),
    ],
)
def test_wrong_files_give_one_line(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=f"{name}: {message}") as caught:
        read_scores(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_other_bytes_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.txt: no such file"):
        read_scores(tmp_path / "none.txt")
    (tmp_path / "list.txt").write_bytes(b"a\n\xff")
    with pytest.raises(DataError, match=r"list\.txt: is not UTF-8 text"):
        read_scores(tmp_path / "list.txt")


@pytest.mark.parametrize("name", ["list.pkl", "list.txt"])
def test_a_pickle_is_not_opened(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(pickle.dumps(["a"]))
    with pytest.raises(DataError, match=rf"a pickle, .*`reid select-list \S+{name} --out list"):
        read_scores(tmp_path / name)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("content", [["b/ö.jpg", "a.jpg"], ("b/ö.jpg", "a.jpg")])
def test_a_published_list_is_converted(tmp_path: Path, protocol: int, content: object) -> None:
    (tmp_path / "l.pkl").write_bytes(pickle.dumps(content, protocol))
    assert convert_list(tmp_path / "l.pkl", tmp_path / "l.txt") == 2
    assert (tmp_path / "l.txt").read_text(encoding="utf-8") == "b/ö.jpg\na.jpg\n"
    assert read_scores(tmp_path / "l.txt").by_path == {"b/ö.jpg": 0, "a.jpg": -1}


def test_a_list_of_python_2_is_converted(tmp_path: Path) -> None:
    (tmp_path / "l.pkl").write_bytes(b"(lp0\nS'b.jpg'\np1\naS'a.jpg'\np2\na.")
    convert_list(tmp_path / "l.pkl", tmp_path / "l.txt")
    assert (tmp_path / "l.txt").read_text() == "b.jpg\na.jpg\n"


class Payload:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("raise SystemExit('executed')",))


HARM = [
    Payload(),
    [Payload()],
    ["a", Payload()],
    OrderedDict(a=1),
    Namespace(a="b"),
    [np.str_("a")],
]


@pytest.mark.parametrize("protocol", [0, 2, 5])
@pytest.mark.parametrize("content", HARM, ids=range(len(HARM)))
def test_no_class_or_function_is_looked_up(tmp_path: Path, protocol: int, content: object) -> None:
    (tmp_path / "l.pkl").write_bytes(pickle.dumps(content, protocol))
    with pytest.raises(DataError, match=r"plain list \(it holds an object of \w+") as caught:
        convert_list(tmp_path / "l.pkl", tmp_path / "l.txt")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "l.txt").exists()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"no pickle", "cannot be read as a plain list"),
        (b"", "cannot be read as a plain list"),
        (pickle.dumps(["a", "b"])[:-3], "cannot be read as a plain list"),
        (b"Pelsewhere\n.", "refers to objects outside"),
        (pickle.dumps({"a": 1}), "holds dict"),
        (pickle.dumps("a"), "holds str"),
        (pickle.dumps(["a", 1]), "a list with int in it"),
        (pickle.dumps(["a", b"b"], 3), "a list with bytes in it"),
        (pickle.dumps(["a\nb"]), r"the name 'a\\nb'"),
        (pickle.dumps(["a\udc80"]), "the name"),
        (pickle.dumps(["a", "a"]), "'a' stands twice"),
        (pickle.dumps([]), "no images"),
    ],
)
def test_other_content_is_refused(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "l.pkl").write_bytes(data)
    with pytest.raises(DataError, match=message) as caught:
        convert_list(tmp_path / "l.pkl", tmp_path / "l.txt")
    assert "\n" not in str(caught.value)


def test_a_missing_list_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"l\.pkl: no such file"):
        convert_list(tmp_path / "l.pkl", tmp_path / "l.txt")
