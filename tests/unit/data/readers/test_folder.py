"""People's own folders: how they are arranged, named, and refused."""

import json
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reid.data.readers.folder import read_folder
from reid.data.readers.reading import BAD_NAME, NOT_AN_IMAGE, SIDECAR, Reading, Row
from reid.data.readers.template import compile_pattern
from reid.data.storage import open_storage
from reid.errors import DataError, ParamsError


def read(root: Path, *paths: str, **options: object) -> Reading:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return read_folder(open_storage(root), **options)


def rows(root: Path, *paths: str, **options: object) -> dict[str, Row]:
    return {row.path: row for row in read(root, *paths, **options).rows}


def error(kind: type[Exception], root: Path, *paths: str, **options: object) -> str:
    with pytest.raises(kind) as raised:
        read(root, *paths, **options)
    assert "\n" not in str(raised.value)
    return str(raised.value)


PERSONS = tuple(f"{pid}/{camera}/{n}.jpg" for pid in (7, 8, 30) for camera in "ab" for n in (1, 2))


@pytest.mark.parametrize("home", ["", "mine/", "a/b/c/"])
def test_a_folder_per_person(tmp_path: Path, home: str) -> None:
    paths = [f"{home}{pid}/{n}.jpg" for pid in ("0007", "0010", "0002") for n in (1, 2)]
    reading = read(tmp_path, *paths)
    assert [row.path for row in reading.rows] == sorted(paths)
    assert {row.pid for row in reading.rows} == {2, 7, 10}
    assert {(row.camid, row.cam_raw, row.attrs) for row in reading.rows} == {(None, None, None)}
    assert {row.split for row in reading.rows} == {"train", "query", "gallery"}
    assert (reading.layout, reading.benchmark, reading.ethics) == ("folder", None, None)
    assert reading.camera_count is None
    assert reading.warnings == reading.unlisted == ()


def test_a_folder_per_person_and_camera(tmp_path: Path) -> None:
    paths = [f"{pid}/{camera}/{n}.png" for pid in (1, 2) for camera in (2, 10) for n in (0, 1)]
    reading = read(tmp_path, *paths)
    found = {(row.path.split("/")[1], row.camid, row.cam_raw) for row in reading.rows}
    assert found == {("2", 0, "2"), ("10", 1, "10")}
    assert reading.camera_count == 2


def test_names_of_any_text_get_numbers_and_stay_known(tmp_path: Path) -> None:
    found = rows(tmp_path, *(f"{name}/{n}.jpg" for name in ("张三", "Anna", "12") for n in "ab"))
    numbers = {row.pid: json.loads(row.attrs or "") for row in found.values()}
    assert numbers == {0: {"person": "12"}, 1: {"person": "Anna"}, 2: {"person": "张三"}}


def test_a_person_is_not_numbered_beyond_what_a_manifest_holds(tmp_path: Path) -> None:
    long = ("99999999999999999999", "5")
    assert {
        row.pid for row in rows(tmp_path, *(f"{n}/{i}.jpg" for n in long for i in "ab")).values()
    } == {0, 1}


@pytest.mark.parametrize("camera", ["", "c1/"])
def test_splits_are_taken_from_folders(tmp_path: Path, camera: str) -> None:
    paths = [f"home/{split}/1/{camera}a.jpg" for split in ("Train", "val", "query", "gallery")]
    found = rows(tmp_path, *paths)
    assert {path: row.split for path, row in found.items()} == dict(
        zip(paths, ("train", "val", "query", "gallery"), strict=True)
    )
    assert {row.cam_raw for row in found.values()} == {camera.strip("/") or None}


def test_a_training_set_alone_is_read(tmp_path: Path) -> None:
    found = rows(tmp_path, "set/train/1/a.jpg", "set/train/1/b.jpg")
    assert [(row.pid, row.split) for row in found.values()] == [(1, "train")] * 2


def test_queries_of_a_folder_named_test_are_drawn(tmp_path: Path) -> None:
    found = rows(tmp_path, "train/1/x/a.jpg", *(f"test/{path}" for path in PERSONS))
    assert found["train/1/x/a.jpg"].split == "train"
    roles = [row.split for path, row in found.items() if path.startswith("test")]
    assert (roles.count("query"), roles.count("gallery")) == (6, 6)


def test_nobody_is_junk(tmp_path: Path) -> None:
    found = rows(tmp_path, *PERSONS, "-1/a/1.jpg")
    assert (found["-1/a/1.jpg"].flag, found["-1/a/1.jpg"].split) == ("junk", "ignored")
    given_splits = rows(
        tmp_path / "2", "gallery/-1/1.jpg", "gallery/5/1.jpg", "query/5/1.jpg", "train/-1/1.jpg"
    )
    junk = {path: row.split for path, row in given_splits.items() if row.flag == "junk"}
    assert junk == {"gallery/-1/1.jpg": "gallery", "train/-1/1.jpg": "ignored"}
    assert {row.pid for row in given_splits.values()} == {-1, 5}


def test_other_files_are_ignored_with_a_reason(tmp_path: Path) -> None:
    reading = read(
        tmp_path, *PERSONS, "7/loose.jpg", "readme.txt", "7/a/._1.jpg", "7/a/b/c.jpg", "top.jpg"
    )
    assert {file.path: file.reason for file in reading.ignored} == {
        "7/loose.jpg": BAD_NAME,
        "readme.txt": NOT_AN_IMAGE,
        "7/a/._1.jpg": SIDECAR,
        "7/a/b/c.jpg": BAD_NAME,
        "top.jpg": BAD_NAME,
    }
    assert reading.unlisted == ("7/a/b/c.jpg", "7/loose.jpg", "top.jpg")
    assert reading.warnings[0] == f"7/a/b/c.jpg: ignored, {BAD_NAME}"


def test_images_beside_the_splits_are_ignored_with_a_warning(tmp_path: Path) -> None:
    reading = read(tmp_path, "train/1/a.jpg", "train/2/a.jpg", "rest/1/a.jpg")
    assert [row.path for row in reading.rows] == ["train/1/a.jpg", "train/2/a.jpg"]
    assert reading.warnings == (f"rest/1/a.jpg: ignored, {BAD_NAME}",)


def test_a_person_may_bear_the_name_of_a_split(tmp_path: Path) -> None:
    found = rows(tmp_path, *(f"{name}/{n}.jpg" for name in ("Val", "Tom", "Ann") for n in "ab"))
    assert {row.pid for row in found.values()} == {0, 1, 2}


def test_folder_zip_and_tar_give_equal_rows(tmp_path: Path) -> None:
    folder = read(tmp_path / "mine", *PERSONS, seed=4)
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.add(tmp_path / "mine", ".")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        for path in reversed(PERSONS):
            packed.write(tmp_path / "mine" / path, f"mine/{path}")
    assert read_folder(open_storage(tmp_path / "a.tar"), seed=4) == folder
    wrapped = {
        row.path: row.split for row in read_folder(open_storage(tmp_path / "a.zip"), seed=4).rows
    }
    assert wrapped == {f"mine/{row.path}": row.split for row in folder.rows}


def test_a_template_names_what_is_in_a_flat_folder(tmp_path: Path) -> None:
    found = rows(
        tmp_path,
        *(
            f"flat/{pid}_c{cam}_{n:05}.JPG"
            for pid in ("anna", "bob")
            for cam in "12"
            for n in (7, 8)
        ),
        pattern="{pid}_c{camera}_{frame}.jpg",
    )
    row = found["flat/bob_c2_00008.JPG"]
    assert (row.pid, row.camid, row.cam_raw, row.frame) == (1, 1, "2", 8)
    assert row.attrs == '{"person": "bob"}'


def test_a_template_may_cover_folders_and_repeat_a_field(tmp_path: Path) -> None:
    reading = read(
        tmp_path,
        *(f"{split}/day1/5/5_front_c1.png" for split in ("query", "gallery")),
        "query/day1/5/6_front_c1.png",
        pattern="{split}/{session}/{pid}/{pid}_{view}_c{camera}",
    )
    found = {row.split: (row.pid, row.session, row.viewid, row.camid) for row in reading.rows}
    assert found == {"query": (5, "day1", 0, 0), "gallery": (5, "day1", 0, 0)}
    assert reading.unlisted == ("query/day1/5/6_front_c1.png",)


def test_a_regular_expression_is_a_pattern_too(tmp_path: Path) -> None:
    paths = [f"all/id{pid}-{'cam3-' * (n > 0)}{n}.jpg" for pid in (4, 5) for n in (0, 1, 2)]
    found = rows(
        tmp_path, *paths, pattern=r"^id(?P<pid>\d+)-(?:cam(?P<camera>\d)-)?(?P<frame>\d)\.jpg"
    )
    assert {row.camid for path, row in found.items() if "cam" in path} == {0}
    assert {row.camid for path, row in found.items() if "cam" not in path} == {None}
    assert {row.pid for row in found.values()} == {4, 5}


def test_a_frame_or_split_that_is_none_is_a_bad_name(tmp_path: Path) -> None:
    reading = read(
        tmp_path,
        "train_1_2.jpg",
        "train_1_two.jpg",
        "trial_1_3.jpg",
        pattern=r"(?P<split>[a-z]+)_(?P<pid>\d)_(?P<frame>\w+)\.jpg",
    )
    assert [row.path for row in reading.rows] == ["train_1_2.jpg"]
    assert reading.unlisted == ("train_1_two.jpg", "trial_1_3.jpg")


WORD = st.text("abcXYZ0189é三 -", min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(
    WORD,
    WORD,
    st.integers(0, 10**9),
    WORD,
    st.sampled_from(["train", "QUERY", "gallery"]),
    st.sampled_from([".jpg", ".JPEG", ".png", ".Tif"]),
)
def test_a_template_gives_back_what_was_put_in(
    pid: str, camera: str, frame: int, view: str, split: str, suffix: str
) -> None:
    template = "{split}/{pid}/{pid}_c{camera}+{frame}.{any}.{view}"
    name = template.format(
        split=split, pid=pid, camera=camera, frame=frame, view=view, any="(what.ever)"
    )
    match = compile_pattern(template).fullmatch(name + suffix)
    assert match is not None
    assert match.groupdict() == {
        "pid": pid, "camera": camera, "frame": str(frame), "view": view, "split": split
    }  # fmt: skip
    for other in (f"x/{name}{suffix}", f"{name}{suffix}x", name, f"{name}{suffix}\n"):
        assert compile_pattern(template).fullmatch(other) is None


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("{pdi}_{camera}", r"has an unknown field 'pdi' \(did you mean 'pid'\?\); expected one of"),
        ("{camera}_{frame}.jpg", "does not say where the person is; expected the field pid"),
        ("{pid}{camera}.jpg", "has fields that touch; expected text between two fields"),
        ("{pid}_{camera.jpg", "has a lone brace; expected a name in braces for each field"),
        ("{pid}_{}.jpg", "has an unknown field ''; expected one of pid, camera"),
        (r"(?P<pid>\d+", r"is no regular expression \(missing \)"),
        (r"(?P<pid>\d)(?P<cam>\d)", r"has an unknown field 'cam' \(did you mean 'camera'\?\)"),
        (r"(?P<camera>\d)", "does not say where the person is"),
    ],
)
def test_a_wrong_pattern_is_an_error_of_one_line(pattern: str, message: str) -> None:
    with pytest.raises(ParamsError, match=message) as raised:
        compile_pattern(pattern)
    assert "\n" not in str(raised.value)
    assert str(raised.value).endswith("Correct the pattern.")


def test_folders_that_are_not_understood_are_errors_of_one_line(tmp_path: Path) -> None:
    assert "no image; expected <person>/<image> or" in error(DataError, tmp_path)
    flat = error(DataError, tmp_path / "1", "b_1.jpg", "a_1.jpg")
    assert "no folders of persons, the first image is a_1.jpg; expected <person>/<image>" in flat
    assert flat.endswith("or say with `pattern` how they are named.")
    assert "no folders of persons" in error(DataError, tmp_path / "2", "only/a.jpg", "only/b.jpg")
    assert "no folders of" in error(DataError, tmp_path / "3", "a/b/c/1.jpg", "b/b/c/1.jpg")
    text = error(DataError, tmp_path / "4", "1.jpg", "2.jpg", pattern="{pid}_{camera}")
    assert "none of 2 images fits '{pid}_{camera}', the first is 1.jpg; expected a pattern" in text


def test_what_cannot_be_right_is_an_error_of_one_line(tmp_path: Path) -> None:
    text = error(DataError, tmp_path / "1", "07/a.jpg", "7/a.jpg", "8/a.jpg")
    assert "persons '07' and '7' are the same number; expected one spelling of each" in text
    text = error(DataError, tmp_path / "3", "1/1/a.jpg", "2/01/a.jpg")
    assert "cameras '01' and '1' are the same number" in text
    text = error(DataError, tmp_path / "4", "query/1/a.jpg", "train/2/a.jpg")
    assert "no image of the split gallery; expected names such as gallery/<person>/<im" in text
    text = error(DataError, tmp_path / "5", "1/a.jpg", "2/a.jpg")
    assert "of 2 persons 0 with two images; expected at least 2" in text
    views = (f"{n}_v{n}.jpg" for n in range(129))
    text = error(DataError, tmp_path / "6", *views, pattern="{pid}_v{view}")
    assert "129 views, such as '0'; expected at most 128. Correct what is taken for the" in text
    assert "test_share 2" in error(ParamsError, tmp_path / "1", test_share=2)
