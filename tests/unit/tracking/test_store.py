import shutil
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from reid.tracking.run import start_run
from reid.tracking.store import open_client, open_experiment, open_store


def test_a_local_store_lies_in_one_folder(mlruns: Path) -> None:
    assert open_store(mlruns) == f"sqlite:///{mlruns}/mlflow.db"
    experiment = open_client(mlruns).get_experiment(open_experiment("place", mlruns))
    assert experiment.artifact_location == (mlruns / "artifacts/place").as_uri()


def test_a_named_server_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://localhost:1")
    assert open_store(tmp_path / "mlruns") == "http://localhost:1"
    assert not (tmp_path / "mlruns").exists()


def test_an_experiment_is_made_once_and_restored_when_deleted(mlruns: Path) -> None:
    first = open_experiment("twice", mlruns)
    client = open_client(mlruns)
    client.delete_experiment(first)
    assert open_experiment("twice", mlruns) == first
    assert client.get_experiment(first).lifecycle_stage == "active"


def test_processes_open_an_empty_store_side_by_side(tmp_path: Path) -> None:
    with ProcessPoolExecutor(3, mp_context=get_context("fork")) as pool:
        calls = [pool.submit(open_experiment, "together", tmp_path / "mlruns") for _ in range(3)]
        answers = {call.result() for call in calls}
    assert len(answers) == 1


def test_a_moved_store_finds_its_artifacts(mlruns: Path, tmp_path: Path) -> None:
    with start_run("moving", "run", root=mlruns) as run:
        open_client(mlruns).log_text(run.run_id, "kept", "note.txt")
    moved = tmp_path / "elsewhere"
    shutil.copytree(mlruns, moved)

    client = open_client(moved)

    assert client.get_run(run.run_id).info.artifact_uri.startswith((moved / "artifacts").as_uri())
    where = client.download_artifacts(run.run_id, "note.txt", str(tmp_path))
    assert Path(where).read_text() == "kept"
    untouched = open_client(mlruns).get_run(run.run_id).info.artifact_uri
    assert untouched.startswith((mlruns / "artifacts").as_uri())
