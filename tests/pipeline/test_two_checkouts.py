"""Two machines without a common disk: what one computes, the other takes from DVC's remote."""

from pathlib import Path

import pytest
import yaml

from flows import pipelines
from tests.unit.flows.flow_reading import run
from tests.unit.flows.prefect_server import Server
from tests.unit.flows.tiny_project import TinyProject

STAGES = ("data@world", "train@one", "evaluate@one", "train@two", "evaluate@two", "compare")


@pytest.fixture
def checkouts(server: Server, tmp_path: Path) -> tuple[TinyProject, TinyProject]:
    found = TinyProject(tmp_path / "a"), TinyProject(tmp_path / "b")
    for project in found:
        project.write()
        project.dvc("remote", "add", "--default", "store", str(tmp_path / "remote"))
    return found


def test_each_runs_half_and_both_end_alike(
    checkouts: tuple[TinyProject, TinyProject], monkeypatch: pytest.MonkeyPatch
) -> None:
    def go(project: TinyProject, *names: str) -> dict[str, str | None]:
        monkeypatch.chdir(project.folder)
        state, runs = run(
            pipelines.evaluate if names else pipelines.pipeline,
            share=True,
            runs=list(names) or None,
        )
        assert state.is_completed(), state.message
        return {name: one.state_name for name, one in runs.items()}

    a, b = checkouts
    assert set(go(a, "one").values()) == {"Completed"}
    assert go(b, "two") == {
        "data@world": "Cached",
        "train@two": "Completed",
        "evaluate@two": "Completed",
    }
    done = go(a)
    assert {name for name, state in done.items() if state == "Completed"} == {"compare"}
    assert set(go(b).values()) == {"Cached"}
    assert sorted(a.ran + b.ran) == sorted(STAGES)
    locks = [yaml.safe_load((one.folder / "dvc.lock").read_text()) for one in checkouts]
    assert locks[0] == locks[1]
    for path in ("reports/tiny/comparison.md", "results/one", "models/two"):
        assert (a.folder / path).read_bytes() == (b.folder / path).read_bytes()
    for project in checkouts:
        assert "up to date" in project.dvc("status")
