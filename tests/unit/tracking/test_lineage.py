import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reid.data.manifest import EthicsRecord
from reid.nn.scan.backends import Choice
from reid.tracking.lineage import (
    GitState,
    backend_tags,
    ethics_tags,
    git_state,
    hardware,
    lineage_tags,
    params_hash,
)

TREES = st.dictionaries(st.text(max_size=3), st.integers() | st.floats(allow_nan=False), max_size=5)


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=T", "-c", "user.email=t@example.org"]
    command = ["git", "-C", str(folder), *who, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    for name in ("code.py", "dvc.lock"):
        (tmp_path / name).write_text("1")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    return tmp_path


def test_a_clean_tree_names_its_commit(repository: Path) -> None:
    assert git_state(repository) == GitState(git(repository, "rev-parse", "HEAD"), False)


def test_dvc_lock_alone_is_no_change(repository: Path) -> None:
    (repository / "dvc.lock").write_text("2")
    assert not git_state(repository).dirty


@pytest.mark.parametrize("name", ["code.py", "new.py"])
def test_changed_and_new_files_make_it_dirty(repository: Path, name: str) -> None:
    (repository / name).write_text("2")
    below = repository / "sub"
    below.mkdir()
    assert git_state(below).dirty


def test_without_git_the_commit_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert git_state(tmp_path) == GitState("unknown", True)
    monkeypatch.setenv("PATH", "")
    assert git_state(tmp_path) == GitState("unknown", True)


@settings(max_examples=30, deadline=None)
@given(TREES, TREES)
def test_the_hash_ignores_order_and_nothing_else(
    first: dict[str, float], second: dict[str, float]
) -> None:
    assert params_hash(first) == params_hash(dict(reversed(list(first.items()))))
    assert (params_hash(first) == params_hash(second)) == (
        repr(sorted(first.items())) == repr(sorted(second.items()))
    )


def test_unstated_terms_are_unknown() -> None:
    assert set(ethics_tags(None).values()) == {"unknown"}


def test_backends_are_named_with_their_reason() -> None:
    tags = backend_tags({"scan": Choice("torch", "not native: no compiler")})
    assert tags == {"backend.scan": "torch", "backend.scan.reason": "not native: no compiler"}


def test_lineage_holds_terms_code_and_machine(repository: Path) -> None:
    ethics = EthicsRecord("CC0", "withdrawn", "no", "A. Reader: history")
    tags = lineage_tags(
        study="demo",
        method="bot",
        stage="train@bot",
        params={"a": 1},
        ethics=ethics,
        folder=repository,
    )
    assert tags["data.licence"] == "CC0"
    assert tags["data.status"] == "withdrawn"
    assert tags["data.consent"] == "no"
    assert tags["data.ethics"] == "withdrawn"
    assert tags["data.acknowledged_by"] == "A. Reader: history"
    assert tags["dvc.stage"] == "train@bot"
    assert tags["git.dirty"] == "false"
    assert int(hardware()["hardware.cores"]) >= 1
    assert tags.items() >= hardware().items()
