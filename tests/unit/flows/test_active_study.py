"""Flows share a study; only a flow that is alone may switch it."""

from pathlib import Path

import pytest

from flows.errors import FlowError
from flows.study import ActiveStudy


def test_flows_on_one_study_run_side_by_side_but_none_of_them_may_switch(tmp_path: Path) -> None:
    expected = r"another flow runs .* expected one study at a time"
    with (
        ActiveStudy(tmp_path),
        ActiveStudy(tmp_path) as second,
        pytest.raises(FlowError, match=expected),
    ):
        second.alone().__enter__()


def test_nobody_joins_while_the_study_is_switched(tmp_path: Path) -> None:
    with ActiveStudy(tmp_path) as first:
        with first.alone(), pytest.raises(FlowError, match="on another study"):
            ActiveStudy(tmp_path).__enter__()
        with ActiveStudy(tmp_path):
            pass


def test_the_hold_ends_with_the_flow(tmp_path: Path) -> None:
    with ActiveStudy(tmp_path):
        pass
    with ActiveStudy(tmp_path) as second, second.alone():
        pass


def test_a_study_is_unchanged_if_the_active_one_is_its_stored_text(tmp_path: Path) -> None:
    stored, active = tmp_path / "params/studies/demo.yaml", tmp_path / "params/study.yaml"
    stored.parent.mkdir(parents=True)
    with ActiveStudy(tmp_path) as study:
        assert not study.is_unchanged("demo")
        stored.write_text("study: demo")
        active.write_text("study: demo")
        assert study.is_unchanged("demo")
        active.write_text("study: demo # edited")
        assert not study.is_unchanged("demo")
