import shutil
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from mlflow import MlflowClient

from reid.errors import RegistryError
from reid.tracking.run import start_run
from reid.tracking.store import (
    move_store,
    open_client,
    open_experiment,
    open_store,
    without_password,
)


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


def test_files_that_a_server_keeps_need_its_address(mlruns: Path) -> None:
    # as `mlflow server` on this database makes them
    client = open_client(mlruns)
    experiment = client.create_experiment("held", artifact_location="mlflow-artifacts:/1")
    begun = client.create_run(experiment).info.run_id
    for run_id in (None, begun):
        with pytest.raises(RegistryError, match=r"keeps the files of experiment 'held'.*:5000"):
            start_run("held", "run", run_id, root=mlruns)


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


def test_a_store_that_is_moved_by_command_is_found_from_both_ends(
    mlruns: Path, tmp_path: Path
) -> None:
    open_store(mlruns)
    root, moved = tmp_path / "mlruns", tmp_path / "disk" / "mlflow"
    shutil.copytree(mlruns, root)
    (root / "README.md").write_text("stays")
    with start_run("by command", "run", root=root) as run:
        run.log_text("kept", "note.txt")

    for place in (moved, tmp_path / "another"):
        move_store(place, root)

        uri = open_client(root).get_run(run.run_id).info.artifact_uri
        assert uri.startswith((place / "artifacts").as_uri())
        for end in (root, place):
            where = open_client(end).download_artifacts(run.run_id, "note.txt", str(tmp_path))
            assert Path(where).read_text() == "kept"
    assert {path.name for path in moved.iterdir()} <= {".lock"}
    assert (root / "README.md").read_text() == "stays"
    as_make_ui_opens_it = MlflowClient(f"sqlite:///{root}/mlflow.db")
    assert as_make_ui_opens_it.get_run(run.run_id).info.run_name == "run"
    with start_run("by command", "second", root=root) as second:
        second.log_text("new", "note.txt")
    assert (place / "artifacts/by command" / second.run_id / "artifacts/note.txt").exists()


def test_a_store_is_moved_nowhere_where_something_is(mlruns: Path, tmp_path: Path) -> None:
    open_store(mlruns)
    with pytest.raises(RegistryError, match="exists; expected a folder that does not"):
        move_store(tmp_path, mlruns)
    with pytest.raises(RegistryError, match=r"no mlflow\.db; expected a local store"):
        move_store(tmp_path / "new", tmp_path / "nothing")
    assert not (tmp_path / "new").exists()


def test_an_address_is_shown_without_its_password() -> None:
    assert without_password("https://me:secret@host/mlflow") == "https://host/mlflow"
