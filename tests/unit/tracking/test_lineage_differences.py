from pathlib import Path
from typing import Any

import pytest

from reid.tracking.digest import dvc_md5
from reid.tracking.lineage_differences import find_differences
from tests.unit.tracking.small_lineage import STUDY, git, lineage_of, make_project


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path)


@pytest.fixture
def lineage(project: Path) -> dict[str, Any]:
    return lineage_of(project)


def test_where_it_was_registered_nothing_is_different(
    project: Path, lineage: dict[str, Any]
) -> None:
    assert not find_differences(lineage, project)


def test_another_commit_shows_the_code_of_the_stages_alone(
    project: Path, lineage: dict[str, Any]
) -> None:
    then = lineage["source"]["commit"]
    (project / "reid/train.py").write_text("better\n")
    (project / "reid/unread.py").write_text("of no stage\n")
    git(project, "add", ".")
    git(project, "commit", "-qm", "second")
    found = find_differences(lineage, project)
    assert found.commit == {"commit": (then, git(project, "rev-parse", "HEAD"))}
    recorded = lineage["stages"]["train@bot"]["given"]["reid/train.py"]
    assert found.code == {"reid/train.py": (recorded, dvc_md5(project / "reid/train.py"))}
    assert any(line.startswith("reid/train.py") for line in found.code_stat)
    assert not any("unread" in line for line in found.code_stat)
    assert not found.params
    assert not found.made
    assert not found.environment


def test_uncommitted_changes_are_told(project: Path, lineage: dict[str, Any]) -> None:
    (project / "reid/new.py").write_text("new")
    commit = lineage["source"]["commit"]
    assert find_differences(lineage, project).commit == {"commit": (commit, f"{commit}+changes")}


def test_a_commit_of_elsewhere_has_no_statistics(project: Path, lineage: dict[str, Any]) -> None:
    lineage["source"]["commit"] = "ab" * 20
    found = find_differences(lineage, project)
    assert found.commit["commit"][0] == "ab" * 20
    assert found.code_stat == ()


def test_params_are_compared_value_by_value(project: Path, lineage: dict[str, Any]) -> None:
    text = STUDY.replace("seed: 3", "seed: 4", 1).replace("overrides: {}", "overrides: {x: 1}")
    (project / "params/study.yaml").write_text(text)
    found = find_differences(lineage, project).params
    assert found == {
        "seed": ("3", "4"),
        "runs.bot.overrides": ("{}", "missing"),
        "runs.bot.overrides.x": ("missing", "1"),
    }


def test_of_another_study_only_the_name_is_told(project: Path, lineage: dict[str, Any]) -> None:
    (project / "params/study.yaml").write_text("study: large\n")
    assert find_differences(lineage, project).params == {"study": ("small", "large")}


def test_other_data_and_models_show_but_not_what_is_away(
    project: Path, lineage: dict[str, Any]
) -> None:
    (project / "models/small/bot/weights").write_text("other numbers")
    (project / "results/small/bot.json").unlink()
    then = lineage["stages"]["train@bot"]["outs"]["models/small/bot"]
    now = dvc_md5(project / "models/small/bot")
    assert find_differences(lineage, project).made == {"models/small/bot": (then, now)}


def test_other_packages_show(project: Path, lineage: dict[str, Any]) -> None:
    torch = lineage["environment"]["packages"]["torch"]
    lineage["environment"]["packages"] |= {"torch": "1.0", "gone": "2.0"}
    assert find_differences(lineage, project).environment == {
        "packages.gone": ("2.0", "missing"),
        "packages.torch": ("1.0", torch),
    }
