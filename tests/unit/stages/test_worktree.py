import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from reid.errors import DataError, MachineError, ParamsError, RegistryError
from reid.stages.worktree import (
    RecordedCode,
    fetch_inputs,
    open_worktree,
    recorded_code,
    stage_environment,
)
from tests.unit.tracking.small_lineage import STUDY, git, lineage_of, make_project


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = make_project(tmp_path / "project")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def lineage(project: Path) -> dict[str, Any]:
    return lineage_of(project)


def test_a_clean_tree_needs_its_commit_alone(project: Path, lineage: dict[str, Any]) -> None:
    assert recorded_code(lineage) == RecordedCode(git(project, "rev-parse", "HEAD"), "", STUDY)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"commit": "unknown"}, "there was no git commit; expected"),
        ({"untracked": ["reid/a.py"]}, r"reid/a\.py was in no commit; expected"),
        ({"untracked": ["params/bot.yaml"]}, r"params/bot\.yaml was in no commit; expected"),
        ({"patch": None}, "more than a megabyte of changes"),
    ],
)
def test_code_that_was_not_kept_is_refused(
    lineage: dict[str, Any], changes: dict[str, Any], said: str
) -> None:
    lineage["source"] |= changes
    with pytest.raises(RegistryError, match=said):
        recorded_code(lineage)


def test_parameter_files_that_no_stage_reads_do_not_matter(lineage: dict[str, Any]) -> None:
    lineage["source"]["untracked"] = ["params/studies/mine.yaml"]
    assert recorded_code(lineage).patch == ""


def test_code_that_changed_since_is_that_of_the_training(lineage: dict[str, Any]) -> None:
    lineage["stages"]["train@bot"]["changed"] = ["reid/train.py"]
    lineage["git_commit"] = "c0ffee"
    assert recorded_code(lineage) == RecordedCode("c0ffee", "", STUDY)
    lineage["git_commit"] = "c0ffee+dirty"
    with pytest.raises(RegistryError, match=r"reid/train\.py changed after the stages had run"):
        recorded_code(lineage)


def test_a_worktree_has_the_recorded_code_and_goes_on(project: Path) -> None:
    (project / "reid/ground.py").write_text("changed\n")
    (project / "params/study.yaml").write_text(STUDY + "# edited\n")
    code = recorded_code(lineage_of(project))
    git(project, "checkout", "-q", ".")
    (project / ".dvc/cache/files").mkdir(parents=True)
    place, note = Path(".reid/there"), Path(".reid/there.json")

    found = open_worktree(place, note, code)

    assert (found / "reid/ground.py").read_text() == "changed\n"
    assert (found / "params/study.yaml").read_text() == STUDY + "# edited\n"
    assert (found / ".dvc/cache/files").samefile(project / ".dvc/cache/files")
    assert not (found / ".dvc/cache/runs").exists()
    assert (project / "reid/ground.py").read_text() == "named by no stage"
    (found / "result").write_text("half done")
    assert open_worktree(place, note, code) == found
    assert (found / "result").exists()
    with pytest.raises(ParamsError, match="exists, and is another thing"):
        open_worktree(place, note, code._replace(patch=""))
    # killed while it was made: made anew
    note.write_text(note.read_text().replace("true", "false"))
    assert open_worktree(place, note, code) == found
    assert not (found / "result").exists()


def test_a_commit_of_elsewhere_is_refused(project: Path) -> None:
    with pytest.raises(DataError, match="is not in this clone; expected"):
        open_worktree(Path("there"), Path("note"), RecordedCode("ab" * 20, "", STUDY))


def test_files_outside_git_are_linked_from_here_or_missed(
    project: Path, lineage: dict[str, Any], tmp_path: Path
) -> None:
    worktree = tmp_path / "worktree"
    git(project, "clone", "-q", str(project), str(worktree))
    lineage["stages"]["data@world"]["given"]["raw/market.zip"] = "abc"
    with pytest.raises(DataError, match=r"raw/market\.zip \(md5 abc\) is neither in git"):
        fetch_inputs(worktree, lineage, os.environ)
    (project / "raw").mkdir()
    (project / "raw/market.zip").write_text("people")
    fetch_inputs(worktree, lineage, os.environ)
    assert (worktree / "raw/market.zip").read_text() == "people"


def test_the_code_of_the_worktree_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another `reid` comes first on the path, and a server is named."""
    for name in ("worktree", "elsewhere"):
        (tmp_path / name / "reid").mkdir(parents=True)
        (tmp_path / name / "reid/__init__.py").write_text(f"print('{name}')")
        (tmp_path / name / "reid/cli.py").write_text("def main(): return 0")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://nowhere")
    worktree = tmp_path / "worktree"
    with pytest.raises(MachineError):  # the module prints more than its place
        stage_environment(worktree, threads=3)
    (worktree / "reid/__init__.py").write_text("")
    env = stage_environment(worktree, threads=3)
    assert env["OMP_NUM_THREADS"] == "3"
    assert "MLFLOW_TRACKING_URI" not in env
    (worktree / "reid/__init__.py").write_text("print('worktree')")
    done = subprocess.run(["reid"], env=env, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "worktree\n")
    assert Path(sys.executable).parent == Path(env["PATH"].split(os.pathsep)[0])


def test_a_folder_without_the_package_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match=r"would run in .*; expected `reid` of "):
        stage_environment(tmp_path, threads=1)
