"""Two machines without a common disk: what one computes, the other takes from DVC's remote."""

from pathlib import Path

import pytest
import yaml

from flows import pipelines
from tests.unit.flows.flow_reading import logged, read_flow_run, run, waiting
from tests.unit.flows.prefect_server import Server
from tests.unit.flows.tiny_project import TinyProject
from tests.unit.flows.watching import wait_until

STAGES = ("data@world", "train@one", "evaluate@one", "train@two", "evaluate@two", "compare")


@pytest.fixture
def checkouts(server: Server, tmp_path: Path) -> tuple[TinyProject, TinyProject]:
    found = TinyProject(tmp_path / "a"), TinyProject(tmp_path / "b")
    for project in found:
        project.write()
        project.dvc("remote", "add", "--default", "store", str(tmp_path / "remote"))
        # so that the two on this one machine are in each other's way as two machines would be
        (project.folder / "params/machines.yaml").write_text("machines: {default: {cpu: 2}}")
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


@pytest.mark.parametrize("dies", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.timeout(600)
def test_what_one_is_computing_the_other_leaves_to_it_while_it_lives(
    server: Server, checkouts: tuple[TinyProject, TinyProject], dies: bool
) -> None:
    a, b = checkouts
    for project in checkouts:
        project.edit("rate: 10, mode: plain", "rate: 30, mode: wait")
    (b.folder / "go").touch()
    first = server.start("flows", "train", "--share", "--runs", "one", cwd=a.folder)
    waiting(a)
    second = server.start("flows", "train", "--share", cwd=b.folder)
    line = "train@one waits for slots that another flow has, or another machine is at it"
    wait_until(lambda: line in logged(read_flow_run("train").id))
    wait_until(lambda: b.ran == ["train@two"])
    if dies:
        first.kill()
    (a.folder / "go").touch()
    # the slots of the dead are taken until its leases run out
    assert second.wait(300) == 0
    assert a.ran == ["data@world", "train@one"]
    assert b.ran == ["train@two"] + ["train@one"] * dies
    assert (b.folder / "models/one").read_text() == "one 3"
