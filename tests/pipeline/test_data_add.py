"""`reid data add`: every archive of the packs is registered; what is wrong leaves one line only."""

import errno
import json
import os
import pickle
import shutil
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from PIL import Image

from reid.data.manifest import Manifest
from reid.data.readers import READERS
from reid.stages.paths import manifest_file, registration_file

from .command_line import CommandLine
from .conftest import copy_project

ROOT = Path(__file__).parents[2]
PACKS = Path(os.environ.get("REID_GOLDEN", ROOT / "tests/golden/packs"))
ARCHIVES = sorted(path for path in PACKS.rglob("datasets/*.tar.gz"))
WHY = "A. Reader: to reproduce a published table"
TERMS = ("--licence", "own cameras", "--status", "agreement", "--consent", "yes")


@pytest.fixture
def line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> CommandLine:
    """A command line in a project without DVC."""
    shutil.copytree(ROOT / "params", tmp_path / "project/params")
    monkeypatch.chdir(tmp_path / "project")
    return CommandLine(capsys)


def tree(root: Path) -> Path:
    """Write the smallest folder in the layout of Market-1501 that can be evaluated."""
    names = (
        "bounding_box_train/0002_c1s1_000100_01.jpg",
        "bounding_box_train/0002_c2s1_000100_01.jpg",
        "query/0003_c1s1_000200_00.jpg",
        "bounding_box_test/0003_c2s1_000300_01.jpg",
    )
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.effect_noise((64, 128), 50 + number).convert("RGB").save(root / name)
    return root


def left_behind() -> list[str]:
    """Everything that a command wrote where datasets are kept."""
    folders = (Path("raw"), Path("data"), Path("params/registered"))
    return [str(path) for folder in folders if folder.exists() for path in folder.rglob("*")]


@pytest.mark.parametrize("archive", ARCHIVES, ids=lambda path: path.name)
def test_every_archive_is_registered(line: CommandLine, archive: Path) -> None:
    name = archive.name.partition(".")[0]
    said = line.works("data", "add", name, str(archive), "--acknowledge-withdrawn", WHY)
    assert f"Registered in params/registered/{name}.yaml" in said
    manifest = Manifest.load(manifest_file(name))
    assert len(manifest.frame) > 0
    assert name in line.works("data", "list")
    shown = line.works("data", "show", name)
    assert "licence    " in shown
    digest = manifest.digest
    line.works("data", "build", name)
    assert Manifest.load(manifest_file(name)).digest == digest
    card = yaml.safe_load(registration_file(name).read_text())
    assert tuple(card["protocols"]) == READERS[manifest.meta.layout].protocols


def test_the_new_protocol_of_cuhk03_is_scored_like_market(line: CommandLine) -> None:
    for archive in (path for path in ARCHIVES if "cuhk03_classic" in path.name):
        line.works("data", "add", "new", str(archive), "--option", "protocol=new")
        card = yaml.safe_load(registration_file("new").read_text())
        assert card["protocols"] == ["market"]
        registration_file("new").unlink()
        shutil.rmtree("raw")


def test_withdrawn_data_need_a_reason_which_stays_with_them(line: CommandLine) -> None:
    for archive in (path for path in ARCHIVES if "duke" in path.name):
        name = archive.name.partition(".")[0]
        code, error = line.fails("data", "add", name, str(archive))
        assert code == 4
        assert "withdrawn by its authors" in error
        assert left_behind() == [] or all(name not in path for path in left_behind())
        line.works("data", "add", name, str(archive), "--acknowledge-withdrawn", WHY)
        assert WHY in line.works("data", "show", name)
        listed = next(row for row in line.works("data", "list").splitlines() if name in row)
        assert listed.endswith("WITHDRAWN")
        ethics = Manifest.load(manifest_file(name)).meta.ethics
        assert ethics is not None
        assert (ethics.status, ethics.acknowledged_by) == ("withdrawn", WHY)
        code, error = line.fails("data", "add", f"{name}_again", str(archive), *TERMS)
        assert "no terms of your own for this layout" in error


def web_page(path: Path) -> Path:
    path.write_text("<!DOCTYPE html><title>Log in</title>")
    return path


def cut(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("bounding_box_train/0002_c1s1_000100_01.jpg", os.urandom(4000))
    path.write_bytes(path.read_bytes()[:2000])
    return path


def climbing(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../out.txt", "out")
    return path


def looping(path: Path) -> Path:
    (tree(path) / "query/again").symlink_to(path)
    return path


def enormous(path: Path) -> Path:
    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    size = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
    body = size + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    (tree(path) / "query/0003_c1s1_000201_00.jpg").write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


def unnamable(path: Path) -> Path:
    Path(os.fsdecode(os.fsencode(tree(path) / "query") + b"/\xff.jpg")).touch()
    return path


def unknown(path: Path) -> Path:
    path.mkdir()
    (path / "holiday.jpg").touch()
    return path


WRONG: tuple[tuple[Callable[[Path], Path], str], ...] = (
    (web_page, "a web page, not an archive"),
    (cut, "damaged archive"),
    (climbing, "points outside of the archive"),
    (looping, "a link that leads back to"),
    (enormous, "an image of more than 100,000,000 pixels"),
    (unnamable, "is not UTF-8"),
    (unknown, "no known layout"),
    (lambda path: path, "no such file or folder"),
)


@pytest.mark.parametrize(("make", "message"), WRONG, ids=[message for _, message in WRONG])
@pytest.mark.parametrize("how", ["--copy", "--link"])
def test_what_is_wrong_is_said_in_one_line_and_leaves_nothing(
    line: CommandLine, tmp_path: Path, make: Callable[[Path], Path], message: str, how: str
) -> None:
    code, error = line.fails("data", "add", "mine", str(make(tmp_path / "given")), how)
    assert (code, message in error) == (4, True), error
    assert left_behind() == []


def test_a_cut_compressed_archive_leaves_nothing(line: CommandLine, tmp_path: Path) -> None:
    short = tmp_path / "short.tar.gz"
    with tarfile.open(short, "w:gz") as archive:
        archive.add(tree(tmp_path / "tree"), "set")
    short.write_bytes(short.read_bytes()[:5000])
    code, error = line.fails("data", "add", "mine", str(short))
    assert (code, "damaged archive" in error) == (4, True)
    assert left_behind() == []


def test_a_full_disk_is_one_line_and_leaves_nothing(
    line: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    given = tree(tmp_path / "given")
    monkeypatch.setattr(tarfile.TarFile, "addfile", full)
    code, error = line.fails("data", "add", "mine", str(given))
    assert (code, "No space left on device; expected room" in error) == (4, True)
    assert left_behind() == []


def test_a_pickle_is_never_run(line: CommandLine, tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
            return os.system, (f"touch {tmp_path}/ran",)

    for archive in (path for path in ARCHIVES if "luperson" in path.name):
        folder = tmp_path / archive.name
        with tarfile.open(archive) as packed:
            # Python before 3.11.4 knows no filters
            packed.extraction_filter = getattr(tarfile, "data_filter", None)
            packed.extractall(folder)  # noqa: S202 - the packs are ours
        for keys in folder.rglob("keys.pkl"):
            keys.write_bytes(pickle.dumps({"keys": [Payload()], "pids": [1]}))
        line.works("data", "add", archive.name.partition(".")[0], str(folder))
    assert not (tmp_path / "ran").exists()


def test_names_in_other_scripts_are_kept(line: CommandLine, tmp_path: Path) -> None:
    for person in ("张三", "Ольга", "bo"):
        for number in range(3):
            path = tmp_path / "shop" / person / f"{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.effect_noise((64, 128), 50 + number).convert("RGB").save(path)
    code, error = line.fails("data", "add", "shop", str(tmp_path / "shop"), "--layout", "folder")
    assert (code, "nobody states the terms of use" in error) == (3, True)
    line.works("data", "add", "shop", str(tmp_path / "shop"), "--layout", "folder", *TERMS)
    manifest = Manifest.load(manifest_file("shop"))
    assert {path.split("/")[0] for path in manifest.frame["path"]} == {"张三", "Ольга", "bo"}
    card = yaml.safe_load(Path("params/registered/shop.yaml").read_text())
    assert (card["protocols"], card["source"]["terms"]["licence"]) == (["no_camera"], "own cameras")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["Shop"], "name 'Shop'; expected lower-case letters"),
        (["mine", "--layout", "market"], "did you mean 'market1501'?"),
        (["mine", "--option", "use_50k=true"], "did you mean 'use_500k'?"),
        (["mine", "--option", "use_500k"], "option 'use_500k'; expected key=value"),
        (["taken"], "taken is registered already"),
    ],
)
def test_wrong_words_are_one_line(
    line: CommandLine, tmp_path: Path, arguments: list[str], message: str
) -> None:
    given = str(tree(tmp_path / "given"))
    line.works("data", "add", "taken", given, "--link")
    before = left_behind()
    name, *more = arguments
    code, error = line.fails("data", "add", name, given, *more)
    assert (code, message in error) == (3, True), error
    assert left_behind() == before


def test_a_link_leaves_the_files_where_they_are(line: CommandLine, tmp_path: Path) -> None:
    given = tree(tmp_path / "given")
    line.works("data", "add", "mine", str(given), "--link")
    assert Path("raw/mine").resolve() == given
    said = line.works("data", "check", "mine")
    assert "mine: passed" in said
    report = json.loads(Path("reports/validation/mine/report.json").read_text())
    assert report["success"]


def test_files_that_lie_in_raw_are_registered_where_they_are(line: CommandLine) -> None:
    tree(Path("raw/mine"))
    line.works("data", "add", "mine", "raw/mine")
    assert sorted(path.name for path in Path("raw/mine").iterdir())[0] == "bounding_box_test"


def test_files_that_lie_in_raw_survive_a_failure(line: CommandLine) -> None:
    """However their place is spelt, they may be the only copy."""
    enormous(Path("raw/mine"))
    before = sorted(Path("raw/mine").rglob("*"))
    for spelling in ("raw/mine", "./raw/mine", str(Path("raw/mine").resolve())):
        code, _ = line.fails("data", "add", "mine", spelling)
        assert code == 4
        assert sorted(Path("raw/mine").rglob("*")) == before
    assert not Path("params/registered").exists()


def test_what_a_killed_command_left_is_no_hindrance(line: CommandLine, tmp_path: Path) -> None:
    for rest in (Path("raw/.mine.part"), Path("data/.mine.part")):
        (rest / "half").mkdir(parents=True)
    line.works("data", "add", "mine", str(tree(tmp_path / "given")))
    assert not list(Path("raw").glob(".*")) + list(Path("data").glob(".*"))


def test_dvc_keeps_one_item_and_the_pipeline_builds_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project = copy_project(tmp_path / "project")
    monkeypatch.chdir(project.folder)
    CommandLine(capsys).works("data", "add", "mine", str(tree(tmp_path / "given")))
    assert sorted(path.name for path in Path("raw/mine").iterdir()) == [
        "00000.tar",
        "index.parquet",
    ]
    project.run("git", "add", "-A")
    tracked = project.run("git", "ls-files", "raw").stdout.split()
    assert tracked == ["raw/mine.dvc"]
    study = yaml.safe_load(Path("params/study.yaml").read_text())
    card = yaml.safe_load(Path("params/registered/mine.yaml").read_text())
    study["datasets"]["mine"] = card
    Path("params/study.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    assert project.repro("validate@mine") == ["data@mine", "validate@mine"]
    assert project.repro("validate@mine") == []
    shutil.rmtree("raw/mine")
    subprocess.run([sys.executable, "-m", "dvc", "checkout", "-q", "raw/mine.dvc"], check=True)
    assert project.repro("validate@mine") == []
