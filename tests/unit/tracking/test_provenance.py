from pathlib import Path

import pytest
from mlflow.utils.validation import _validate_model_version_tag, _validate_tag

from reid.tracking import provenance
from reid.tracking.provenance import condensed, environment, identity, source_state, state_of
from tests.unit.tracking.small_lineage import STUDY, git, lineage_of, make_project


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path)


def test_a_clean_tree_has_an_empty_patch(project: Path) -> None:
    assert source_state(project) == {
        "commit": git(project, "rev-parse", "HEAD"),
        "dirty": False,
        "patch": "",
        "untracked": [],
        "study": STUDY,
    }


def test_the_patch_makes_the_same_sources_again(
    project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    changed = {"reid/train.py": "other\r\ncode \xe9\n".encode("latin-1"), "params/bot.yaml": b"\0x"}
    for name, content in changed.items():
        (project / name).write_bytes(content)
    (project / "params/study.yaml").write_text(STUDY + "# edited\n")
    (project / "reid/new.py").write_text("new")
    (project / "notes.txt").write_text("not a source")
    found = source_state(project)
    assert found["dirty"]
    assert found["untracked"] == ["reid/new.py"]
    assert found["study"].endswith("# edited\n")
    assert "study.yaml" not in found["patch"]
    copy = tmp_path_factory.mktemp("copy") / "clone"
    git(project, "clone", "-q", str(project), str(copy))
    patch = copy / "the.patch"
    patch.write_bytes(found["patch"].encode(errors="surrogateescape"))
    git(copy, "apply", "--whitespace=nowarn", "the.patch")
    assert {name: (copy / name).read_bytes() for name in changed} == changed


def test_what_cannot_be_kept_is_none(
    project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (project / "reid/train.py").write_text("x" * (provenance.LARGEST_PATCH + 1))
    assert source_state(project)["patch"] is None
    empty = tmp_path_factory.mktemp("empty")
    (empty / "params").mkdir()
    (empty / "params/study.yaml").write_text(STUDY)
    git(empty, "init", "-q")
    found = source_state(empty)
    assert (found["commit"], found["patch"], found["untracked"]) == ("unknown", None, [])


def test_the_environment_names_what_the_project_asks_for() -> None:
    found = environment()
    assert {"torch", "mlflow", "numpy"} <= set(found["packages"])
    assert "pytest" not in found["packages"]
    assert found["threads"] >= 1


def test_provenance_misses_the_stages_that_dvc_did_not_run(project: Path) -> None:
    found = lineage_of(project)
    assert found["datasets"]["world"]["source"]["size"] == "smoke"
    assert found["datasets"]["world"]["licence"] == "unknown"
    assert state_of(found["stages"]) == "not run by dvc: embed@bot, validate@world"


def test_the_gist_fits_into_tags(project: Path) -> None:
    lineage = lineage_of(project)
    lineage["stages"]["data@world"]["outs"]["data/wörld@1" + "x" * 300] = "ff"
    tags = condensed(lineage)
    assert tags["dvc.data/world"] == lineage["stages"]["data@world"]["outs"]["data/world"]
    assert tags["dvc.models/small/bot"].endswith(".dir")
    assert tags["source.commit"] == lineage["source"]["commit"]
    assert not [key for key in tags if "results" in key]
    for key, value in tags.items():
        _validate_tag(key, value)
        _validate_model_version_tag(key, value)
    assert condensed({"run": "bot"}) == {}


def test_other_code_for_the_same_stages_is_the_same_model(project: Path) -> None:
    before = identity(lineage_of(project))
    (project / "reid/other.py").write_text("read by no stage")
    git(project, "add", ".")
    git(project, "commit", "-qm", "second")
    commit = before["git_commit"]
    assert identity(lineage_of(project, git_commit=commit)) == before
    assert identity(lineage_of(project, git_commit="other")) != before
    (project / "models/small/bot/weights").write_text("by hand")
    assert identity(lineage_of(project, git_commit=commit)) != before
