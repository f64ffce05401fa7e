from pathlib import Path

import pytest

from reid.tracking.run import BUFFERED_METRICS, TrackedRun, find_run, flatten, start_run
from reid.tracking.store import open_client


@pytest.fixture
def started(mlruns: Path) -> TrackedRun:
    return start_run("runs", "bot", tags={"study": "runs"}, params={"a": {"b": 1}}, root=mlruns)


def test_tags_params_and_metrics_are_read_back(mlruns: Path, started: TrackedRun) -> None:
    with started as run:
        run.log_metrics(("loss", 1.0 / (step + 1), step) for step in range(3))
    stored = open_client(mlruns).get_run(started.run_id)
    assert stored.info.status == "FINISHED"
    assert stored.info.run_name == "bot"
    assert stored.data.tags["study"] == "runs"
    assert stored.data.params == {"a.b": "1"}
    history = open_client(mlruns).get_metric_history(started.run_id, "loss")
    assert [(entry.step, entry.value) for entry in history] == [(0, 1.0), (1, 0.5), (2, 1 / 3)]


def test_metrics_wait_for_a_full_buffer(mlruns: Path, started: TrackedRun) -> None:
    client = open_client(mlruns)
    started.log_metrics([("loss", 0.0, 0)])
    assert "loss" not in client.get_run(started.run_id).data.metrics
    started.log_metrics(("loss", float(step), step) for step in range(1, BUFFERED_METRICS + 5))
    assert client.get_run(started.run_id).data.metrics["loss"] == BUFFERED_METRICS + 4
    started.finish()


def test_a_dataset_keeps_its_digest_and_context(mlruns: Path, started: TrackedRun) -> None:
    digest = "0123456789abcdef" * 4
    started.log_dataset("synth", digest, "data/synth/manifest.parquet", "train")
    started.finish()
    (entry,) = open_client(mlruns).get_run(started.run_id).inputs.dataset_inputs
    assert entry.dataset.name == "synth"
    assert digest.startswith(entry.dataset.digest)
    assert digest in entry.dataset.source
    assert [(tag.key, tag.value) for tag in entry.tags] == [("mlflow.data.context", "train")]


def test_a_run_is_continued_by_its_id(mlruns: Path, started: TrackedRun) -> None:
    started.log_metrics([("loss", 2.0, 0)])
    started.finish("FAILED")
    again = start_run("runs", "bot", run_id=started.run_id, params={"a": {"b": 1}}, root=mlruns)
    assert again.run_id == started.run_id
    assert open_client(mlruns).get_run(again.run_id).info.status == "RUNNING"
    again.log_metrics([("loss", 1.0, 1)])
    again.finish()
    history = open_client(mlruns).get_metric_history(again.run_id, "loss")
    assert [entry.value for entry in history] == [2.0, 1.0]
    assert open_client(mlruns).get_run(again.run_id).info.status == "FINISHED"


def test_an_unknown_id_starts_a_new_run_that_says_so(
    mlruns: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lost = "f" * 32
    run = start_run("runs", "bot", run_id=lost, root=mlruns)
    run.finish()
    assert run.run_id != lost
    assert open_client(mlruns).get_run(run.run_id).data.tags["continues"] == lost
    assert f"MLflow run {lost} is not in this store" in caplog.text


@pytest.mark.parametrize(
    ("error", "status"), [(ValueError, "FAILED"), (KeyboardInterrupt, "KILLED")]
)
def test_a_broken_run_is_closed_with_its_metrics(
    mlruns: Path, started: TrackedRun, error: type[BaseException], status: str
) -> None:
    started.log_metrics([("loss", 3.0, 0)])
    with pytest.raises(error), started:
        raise error
    stored = open_client(mlruns).get_run(started.run_id)
    assert stored.info.status == status
    assert stored.data.metrics == {"loss": 3.0}


def test_many_params_are_written_in_parts(mlruns: Path) -> None:
    params = {f"p{number}": number for number in range(205)}
    run = start_run("runs", "wide", params=params, root=mlruns)
    run.finish()
    assert len(open_client(mlruns).get_run(run.run_id).data.params) == 205


def test_flatten_joins_keys_and_keeps_empty_mappings() -> None:
    tree = {"a": {"b": 1, "c": {"d": [2]}}, "e": {}}
    assert dict(flatten(tree)) == {"a.b": 1, "a.c.d": [2], "e": {}}


def test_files_are_added_to_a_finished_run(
    mlruns: Path, started: TrackedRun, tmp_path: Path
) -> None:
    started.finish()
    (tmp_path / "a.png").write_bytes(b"picture")
    found = find_run(started.run_id, mlruns)
    assert found is not None
    found.log_files([tmp_path / "a.png"], "explain")
    client = open_client(mlruns)
    assert [file.path for file in client.list_artifacts(started.run_id, "explain")] == [
        "explain/a.png"
    ]
    assert client.get_run(started.run_id).info.status == "FINISHED"


def test_no_run_is_found_and_no_store_is_made(mlruns: Path, tmp_path: Path) -> None:
    start_run("runs", "bot", root=mlruns).finish()
    assert find_run("0" * 32, mlruns) is None
    assert find_run("0" * 32, tmp_path / "nowhere") is None
    assert not (tmp_path / "nowhere").exists()
