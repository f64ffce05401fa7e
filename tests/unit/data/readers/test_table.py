"""Tables of people's own images: columns, paths, and every way to be wrong."""

import json
from pathlib import Path

import pandas as pd
import pytest

from reid.data.readers.reading import LIST_FILE, UNLISTED, Reading, Row
from reid.data.readers.table import read_table
from reid.data.storage import open_storage
from reid.errors import DataError

PLAIN = "path,pid\n1.jpg,4\n2.jpg,4\n3.jpg,5\n4.jpg,5\n"
IMAGES = ("1.jpg", "2.jpg", "3.jpg", "4.jpg")


def lay(root: Path, text: str | bytes, *images: str, table: str = "labels.csv") -> Path:
    for path in (table, *images):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    (root / table).write_bytes(text.encode() if isinstance(text, str) else text)
    return root


def read(root: Path, text: str | bytes, *images: str, table: str = "labels.csv") -> Reading:
    return read_table(open_storage(lay(root, text, *images, table=table)), table=table)


def rows(root: Path, text: str | bytes, *images: str, table: str = "labels.csv") -> list[Row]:
    return list(read(root, text, *images, table=table).rows)


def error(root: Path, text: str | bytes, *images: str) -> str:
    with pytest.raises(DataError) as raised:
        read(root, text, *images)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_path_and_pid_are_enough(tmp_path: Path) -> None:
    reading = read(tmp_path, PLAIN, *IMAGES)
    assert [(row.path, row.pid) for row in reading.rows] == [
        ("1.jpg", 4),
        ("2.jpg", 4),
        ("3.jpg", 5),
        ("4.jpg", 5),
    ]
    assert sorted(row.split for row in reading.rows) == ["gallery", "query", "train", "train"]
    assert (reading.layout, reading.benchmark, reading.ethics) == ("table", None, None)
    assert reading.camera_count is None
    assert {file.path: file.reason for file in reading.ignored} == {"labels.csv": LIST_FILE}
    assert reading.warnings == ()


def test_every_column_has_its_meaning(tmp_path: Path) -> None:
    head = "Path, PID ,camera,split,view,modality,timestamp,frame,session,track,occluded,coat\n"
    lines = (
        "1.jpg,7,door,train,front,rgb,1.5,10,day,t1,yes,red\n"
        "2.jpg,8,yard,query,back,thermal,,,,,no,\n"
        "3.jpg,8,door,gallery,,nir,-2e3,,,,,blue\n"
        "4.jpg,-1,,gallery,,IR,,,,,,\n"
    )
    assert rows(tmp_path, head + lines, *IMAGES) == [
        Row(
            "1.jpg", "train", 7, 0, "door", viewid=1, session="day", frame=10, timestamp=1.5,
            track_id="t1", occluded=True, attrs='{"coat": "red"}',
        ),
        Row(
            "2.jpg", "query", 8, 1, "yard", viewid=0, modality="ir", band="thermal",
            occluded=False,
        ),
        Row(
            "3.jpg", "gallery", 8, 0, "door", modality="ir", band="nir", timestamp=-2000.0,
            attrs='{"coat": "blue"}',
        ),
        Row("4.jpg", "gallery", -1, None, None, flag="junk", modality="ir", band="nir"),
    ]  # fmt: skip


def test_numbers_of_cameras_and_views_are_kept(tmp_path: Path) -> None:
    text = "path,pid,camid,viewid\n1.jpg,4,5,-1\n2.jpg,4,9,3\n3.jpg,5,5,\n4.jpg,5,9,0\n"
    reading = read(tmp_path, text, *IMAGES)
    found = [(row.camid, row.cam_raw, row.viewid) for row in reading.rows]
    assert found == [(5, "5", -1), (9, "9", 3), (5, "5", -1), (9, "9", 0)]
    assert reading.camera_count is None
    both = "path,pid,camid,camera\n1.jpg,4,5,x\n2.jpg,4,9,y\n3.jpg,5,5,x\n4.jpg,5,9,y\n"
    found = [(row.camid, row.cam_raw) for row in rows(tmp_path, both, *IMAGES)]
    assert found == [(5, "x"), (9, "y")] * 2


def test_cameras_by_name_are_counted(tmp_path: Path) -> None:
    text = "path,pid,camera\n1.jpg,4,c10\n2.jpg,4,c9\n3.jpg,5,c10\n4.jpg,5,c9\n"
    reading = read(tmp_path, text, *IMAGES)
    assert [row.camid for row in reading.rows] == [0, 1, 0, 1]
    assert reading.camera_count == 2


def test_persons_by_name_get_numbers_beside_other_attributes(tmp_path: Path) -> None:
    text = "path,pid,age\n1.jpg,Zoë,30\n2.jpg,Zoë,\n3.jpg,Ann,\n4.jpg,-1,\n"
    found = rows(tmp_path, text.replace("4.jpg,-1", "4.jpg,Ann"), *IMAGES)
    assert [(row.pid, json.loads(row.attrs or "")) for row in found] == [
        (1, {"person": "Zoë", "age": "30"}),
        (1, {"person": "Zoë"}),
        (0, {"person": "Ann"}),
        (0, {"person": "Ann"}),
    ]


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbf" + PLAIN.encode(),
        PLAIN.replace(",", ";").encode(),
        PLAIN.replace(",", "\t").replace("\n", "\r\n").encode(),
        b"\n".join(b"%d,%s" % (n, line) for n, line in enumerate(PLAIN.encode().split())).replace(
            b"0,", b",", 1
        ),
        PLAIN.replace("1.jpg", '"1.jpg"').replace("2.jpg", "./2.jpg").encode() + b"\n\n",
    ],
    ids=["byte order mark", "semicolons", "tabs", "index of pandas", "quotes and blank lines"],
)
def test_tables_of_spreadsheets_are_read(tmp_path: Path, text: bytes) -> None:
    assert rows(tmp_path, text, *IMAGES) == rows(tmp_path / "plain", PLAIN, *IMAGES)


def test_a_parquet_table_equals_the_csv_one(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "path": IMAGES,
            "pid": [4.0, 4.0, 5.0, 5.0],
            "frame": [1, None, 3, 4],
            "occluded": [True, None, False, None],
            "timestamp": [0.5, None, 1.0, 2.0],
            "height": [1.8, None, None, 1.7],
        },
        index=[3, 1, 2, 0],
    )
    lay(tmp_path, b"", *IMAGES, table="labels.pq")
    frame.to_parquet(tmp_path / "labels.pq")
    text = "path,pid,frame,occluded,timestamp\n1.jpg,4,1,true,0.5\n2.jpg,4,,,\n"
    text += "3.jpg,5,3,false,1\n4.jpg,5,4,,2\n"
    expected = rows(tmp_path / "csv", text, *IMAGES)
    found = list(read_table(open_storage(tmp_path), table="labels.pq").rows)
    attrs = [row.attrs for row in found]
    assert attrs == ['{"height": 1.8}', None, None, '{"height": 1.7}']
    assert [(r.path, r.pid, r.frame, r.occluded, r.timestamp, r.split) for r in found] == [
        (r.path, r.pid, r.frame, r.occluded, r.timestamp, r.split) for r in expected
    ]


@pytest.mark.parametrize("table", ["labels.csv", "home/labels.csv", "a/b/labels.csv"])
def test_a_table_is_found_below_folders_around_everything(tmp_path: Path, table: str) -> None:
    home = table.removesuffix("labels.csv")
    lay(tmp_path, PLAIN.replace(".jpg,", ".jpg,"), *(home + image for image in IMAGES), table=table)
    found = read_table(open_storage(tmp_path)).rows
    assert [row.path for row in found] == [home + image for image in IMAGES]


def test_paths_may_start_from_the_root(tmp_path: Path) -> None:
    text = "path,pid\nimg/1.jpg,4\nimg/2.jpg,4\nimg\\3.jpg,5\nimg//4.jpg,5\n"
    found = rows(tmp_path, text, *(f"img/{image}" for image in IMAGES), table="meta/people.csv")
    assert [row.path for row in found] == [f"img/{image}" for image in IMAGES]


def test_letters_composed_in_another_way_are_the_same_name(tmp_path: Path) -> None:
    decomposed = "Zoe\u0308.jpg"
    text = PLAIN.replace("1.jpg", "Zo\u00eb.jpg")
    found = rows(tmp_path, text, decomposed, *IMAGES[1:])
    assert decomposed in {row.path for row in found}


def test_images_that_are_not_listed_are_a_warning(tmp_path: Path) -> None:
    reading = read(tmp_path, PLAIN, *IMAGES, "5.jpg", "notes.txt", "._1.jpg")
    assert reading.unlisted == ("5.jpg",)
    assert reading.warnings == (f"5.jpg: ignored, {UNLISTED}",)
    assert len(reading.ignored) == 4


def test_queries_of_the_split_test_are_drawn(tmp_path: Path) -> None:
    text = "path,pid,split\n1.jpg,4,train\n2.jpg,4,train\n3.jpg,5,Test\n4.jpg,5,test\n"
    found = rows(tmp_path, text, *IMAGES)
    assert sorted(row.split for row in found) == ["gallery", "query", "train", "train"]
    assert {row.pid for row in found if row.split == "train"} == {4}


def test_images_to_pretrain_on_need_no_person(tmp_path: Path) -> None:
    text = (
        "path,pid,split\n1.jpg,,pretrain\n2.jpg,-1,pretrain\n3.jpg,Ann,pretrain\n4.jpg,,pretrain\n"
    )
    found = rows(tmp_path, text, *IMAGES)
    assert [(row.pid, row.split, row.flag) for row in found] == [
        (None, "pretrain", "ok"),
        (None, "pretrain", "ok"),
        (0, "pretrain", "ok"),
        (None, "pretrain", "ok"),
    ]


@pytest.mark.parametrize(
    ("column", "meant"),
    [
        ("cam_id", "camid"),
        ("frames", "frame"),
        ("track_id", "track"),
        ("Splitt", "split"),
        ("person", "pid"),
        ("oclcuded", "occluded"),
    ],
)
def test_a_misspelt_column_is_an_error_that_names_the_nearest(
    tmp_path: Path, column: str, meant: str
) -> None:
    text = error(tmp_path, f"path,pid,{column}\n1.jpg,4,x\n", *IMAGES)
    assert f"labels.csv: unknown column '{column}' (did you mean '{meant}'?); expected one" in text


@pytest.mark.parametrize("column", ["age", "name", "weather", "height", "clothes", "bag", "type"])
def test_a_column_of_ones_own_is_no_misspelling(tmp_path: Path, column: str) -> None:
    lines = PLAIN.replace("path,pid", f"path,pid,{column}").replace("4\n", "4,x\n")
    found = rows(tmp_path, lines.replace("5\n", "5,\n"), *IMAGES)
    assert [row.attrs for row in found] == [f'{{"{column}": "x"}}'] * 2 + [None] * 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "image,person_id\n1.jpg,4\n",
            "no column path and pid among image, person_id; expected the",
        ),
        ("path,pid,pid\n1.jpg,4,4\n", "labels.csv has several columns 'pid'; expected one"),
        ("", "labels.csv has no line; expected a line per image"),
        ("path,pid\n", "labels.csv has no line"),
        ("path,pid\n1.jpg,4,5\n", "(line 2 has 3 cells, the first 2); expected a CSV or Parquet"),
        ('path,pid\n1.jpg,"4\n', "cannot be read (line 2: unexpected end of data)"),
        (b"PAR1 and nothing more", "labels.csv cannot be read ("),
        (b"path,pid\n\xff.jpg,4\n", "labels.csv is not UTF-8 text"),
        (PLAIN + "5.jpg,6\n6.jpg,6\n", "2 of 6 images are not there, the first 5.jpg; expected"),
        (PLAIN + "./1.jpg,6\n", "1.jpg is listed 2 times; expected one line per image"),
        (PLAIN + "/data/5.jpg,6\n", "the path '/data/5.jpg' leads elsewhere; expected paths from"),
        (PLAIN + "C:\\5.jpg,6\n", r"the path 'C:\\5.jpg' leads elsewhere"),
        (PLAIN + "a/../../5.jpg,6\n", "the path 'a/../../5.jpg' leads elsewhere"),
        (PLAIN + ",6\n", "line 5 of the images has no path; expected the path of an image"),
        (
            PLAIN.replace("1.jpg,4", "1.jpg,"),
            "1 lines without pid, the first 1.jpg; expected a per",
        ),
        (PLAIN.replace("3.jpg,5", "3.jpg,04"), "persons '04' and '4' are the same number"),
    ],
)
def test_a_wrong_table_is_an_error_of_one_line(
    tmp_path: Path, text: str | bytes, message: str
) -> None:
    assert message in error(tmp_path, text, *IMAGES)


@pytest.mark.parametrize(
    ("column", "cell", "message"),
    [
        ("camid", "one", "1.jpg has the camid 'one'; expected a whole number from 0 to 32767"),
        ("camid", "-1", "1.jpg has the camid '-1'; expected a whole number"),
        ("camid", "32768", "1.jpg has the camid '32768'"),
        ("viewid", "128", "1.jpg has the viewid '128'; expected a whole number from 0 to 127"),
        ("frame", "1.5", "1.jpg has the frame '1.5'; expected a whole number"),
        ("timestamp", "12:30", "1.jpg has the timestamp '12:30'; expected a number"),
        ("timestamp", "inf", "1.jpg has the timestamp 'inf'"),
        ("occluded", "maybe", "1.jpg has the occluded 'maybe'; expected one of true, yes, 1"),
        ("modality", "infra", "1.jpg has the modality 'infra'; expected one of rgb, ir, nir, th"),
        ("split", "galery", "1.jpg has the split 'galery'; expected one of train, val, query"),
        ("split", "train", "3 lines without split, the first 2.jpg; expected a split in each"),
    ],
)
def test_a_wrong_cell_is_an_error_that_names_the_image(
    tmp_path: Path, column: str, cell: str, message: str
) -> None:
    lines = [f"path,pid,{column}", f"1.jpg,4,{cell}", "2.jpg,4,", "3.jpg,5,", "4.jpg,5,"]
    text = error(tmp_path, "\n".join(lines), *IMAGES)
    assert message in text
    assert text.endswith("Correct the table.")


def test_a_query_needs_a_gallery(tmp_path: Path) -> None:
    text = error(tmp_path, "path,pid,split\n1.jpg,4,query\n2.jpg,4,train\n", *IMAGES)
    assert "no image of the split gallery; expected names such as 'query' and 'gallery'" in text


def test_a_missing_table_names_those_that_are_there(tmp_path: Path) -> None:
    lay(tmp_path, PLAIN, *IMAGES, table="people.csv")
    with pytest.raises(
        DataError, match=r"no file labels.csv; expected one table .there is people.c"
    ):
        read_table(open_storage(tmp_path))
    lay(tmp_path, PLAIN, table="a/labels.csv")
    lay(tmp_path, PLAIN, table="b/labels.csv")
    with pytest.raises(DataError, match=r"2 files labels.csv; .* Name the table with the option"):
        read_table(open_storage(tmp_path))
