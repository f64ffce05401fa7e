"""Selections on a graph, and the reading of it from DVC."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.dvc_project import open_project
from flows.errors import FlowError
from flows.graph import StageGraph, instance_of, kind_of
from tests.unit.flows.tiny_project import TinyProject

GRAPH = StageGraph(
    {
        "data@city": (),
        "data@mall": (),
        "validate@city": ("data@city",),
        "validate@mall": ("data@mall",),
        "pretrain@base": ("validate@mall",),
        "train@bot": ("validate@city",),
        "train@idkl": ("pretrain@base", "validate@mall"),
        "evaluate@bot": ("train@bot", "validate@mall"),
        "evaluate@idkl": ("train@idkl",),
        "shortlist@both": ("evaluate@bot", "train@idkl"),
        "compare": ("evaluate@bot", "evaluate@idkl", "shortlist@both"),
    }
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> TinyProject:
    tiny = TinyProject(tmp_path_factory.mktemp("tiny")).write()
    tiny.dvc("repro")
    return tiny


def test_a_name_has_a_kind_and_an_instance() -> None:
    assert (kind_of("train@bot"), instance_of("train@bot")) == ("train", "bot")
    assert (kind_of("compare"), instance_of("compare")) == ("compare", "")


def test_the_runs_are_what_is_trained() -> None:
    assert GRAPH.runs == ("base", "bot", "idkl", "both")


def test_everything_is_selected_by_default() -> None:
    assert GRAPH.select() == GRAPH


def test_a_kind_brings_what_it_depends_on() -> None:
    assert GRAPH.select(["validate"]).names == (
        "data@city",
        "data@mall",
        "validate@city",
        "validate@mall",
    )
    assert GRAPH.targets(["validate"]) == ("validate@city", "validate@mall")


def test_a_run_brings_its_own_datasets_and_parents_only() -> None:
    assert GRAPH.select(["train"], ["bot"]).names == ("data@city", "validate@city", "train@bot")
    assert GRAPH.targets(["train"], ["idkl"]) == ("train@idkl",)
    assert "pretrain@base" in GRAPH.select(["train"], ["idkl"]).names


def test_the_gates_of_a_run_are_those_of_all_its_datasets() -> None:
    assert GRAPH.targets(["validate"], ["bot"]) == ("validate@city", "validate@mall")
    assert GRAPH.targets(["validate"], ["idkl"]) == ("validate@mall",)


def test_the_whole_chain_of_a_run_leaves_the_comparison_out() -> None:
    names = GRAPH.select((), ["bot"]).names
    assert "evaluate@bot" in names
    assert "compare" not in names


def test_an_unknown_run_is_named_with_the_nearest() -> None:
    with pytest.raises(FlowError, match=r"no run 'bott' .*did you mean 'bot'\?.*base, bot, idkl"):
        GRAPH.select(["train"], ["bott"])


def test_a_kind_without_stages_is_an_error() -> None:
    with pytest.raises(FlowError, match="no stage of kind register among 11 stages"):
        GRAPH.select(["register"])


def test_below_a_stage_is_all_that_reads_from_it() -> None:
    assert GRAPH.with_downstream(["train@bot"]) == {
        "train@bot",
        "evaluate@bot",
        "shortlist@both",
        "compare",
    }
    assert GRAPH.with_downstream(["elsewhere"]) == set()


@given(st.sets(st.sampled_from(GRAPH.names)))
def test_a_selection_is_closed_and_ordered(names: set[str]) -> None:
    chosen = GRAPH.with_upstream(names)
    for position, name in enumerate(chosen.names):
        assert set(chosen.dependencies[name]) <= set(chosen.names[:position])
        assert name in names or GRAPH.with_downstream([name]) & names


def test_the_graph_comes_from_dvc(project: TinyProject) -> None:
    with open_project(project.folder) as dvc:
        assert dvc.graph.dependencies == {
            "data@world": (),
            "train@one": ("data@world",),
            "evaluate@one": ("train@one",),
            "train@two": ("data@world",),
            "evaluate@two": ("train@two",),
            "compare": ("evaluate@one", "evaluate@two"),
        }


def test_nothing_is_stale_after_a_run_and_a_chain_after_an_edit(project: TinyProject) -> None:
    with open_project(project.folder) as dvc:
        assert dvc.stale(dvc.graph) == set()
    project.edit("rate: 20", "rate: 30")
    with open_project(project.folder) as dvc:
        assert dvc.stale(dvc.graph) == {"train@two", "evaluate@two", "compare"}
        assert dvc.stale(dvc.graph.select(["train"], ["one"])) == set()


def test_what_one_machine_takes_from_another_depends_on_caches_alone(tmp_path: Path) -> None:
    project = TinyProject(tmp_path).write()
    with open_project(tmp_path) as dvc:
        assert dvc.shareable(dvc.graph) == set(dvc.graph.names)
    graph = project.folder / "dvc.yaml"
    graph.write_text(graph.read_text().replace("results/${key}", "results/${key}: {cache: false}"))
    with open_project(tmp_path) as dvc:
        assert dvc.shareable(dvc.graph) == {"data@world", "train@one", "train@two"}


def test_a_broken_graph_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    TinyProject(tmp_path).write()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dvc.yaml").write_text("stages: [")
    expected = f"'dvc.yaml'.*; expected a valid dvc.yaml and dvc.lock in {re.escape(str(tmp_path))}"
    with pytest.raises(FlowError, match=expected) as caught, open_project(tmp_path) as dvc:
        dvc.graph  # noqa: B018
    assert "\n" not in str(caught.value)


def test_a_folder_without_dvc_is_an_error(tmp_path: Path) -> None:
    with (
        pytest.raises(FlowError, match="not inside of a DVC repository"),
        open_project(tmp_path),
    ):
        pass
