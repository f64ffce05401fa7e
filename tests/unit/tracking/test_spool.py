"""Fault tests: a real MLflow server that is killed and started again, and disks that are full."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from reid.tracking import outlet
from reid.tracking.operations import KEY_TAG, PROVISIONAL, Batch, LoggedFiles
from reid.tracking.run import find_run, start_run
from reid.tracking.spool import journal_of, journals, replay_all, replay_now, replay_turn
from reid.tracking.store import open_client, open_store
from tests.unit.tracking.mlflow_server import MlflowServer

STEPS = 12


@pytest.fixture(scope="module")
def served(mlruns: Path) -> Iterator[MlflowServer]:
    open_store(mlruns)
    server = MlflowServer(mlruns)
    yield server
    server.kill()


@pytest.fixture
def server(served: MlflowServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[MlflowServer]:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", served.address)
    monkeypatch.setattr(outlet, "RETRY_SECONDS", 0.0)
    monkeypatch.setattr(outlet, "PATIENCE", 0)
    yield served
    served.start()


def _only_run(server: MlflowServer, study: str) -> Run:
    client = MlflowClient(server.address)
    experiment = client.get_experiment_by_name(study)
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    return run


def _history(server: MlflowServer, run_id: str) -> list[tuple[int, float]]:
    history = MlflowClient(server.address).get_metric_history(run_id, "train/loss")
    return [(entry.step, entry.value) for entry in history]


def _begins(caplog: pytest.LogCaptureFixture, *starts: str) -> bool:
    """Tell whether the messages of the log begin so, in this order, and there are no others."""
    said = [record.getMessage() for record in caplog.records if record.name.startswith("reid")]
    return len(said) == len(starts) and all(
        text.startswith(start) for text, start in zip(said, starts, strict=True)
    )


def test_a_server_that_is_killed_in_a_training_costs_nothing(
    server: MlflowServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "curves.png").write_bytes(b"picture")
    with start_run("killed", "bot", params={"seed": 1}, root=tmp_path / "mlruns") as run:
        begun_as = run.run_id
        for step in range(STEPS):
            if step == 4:
                server.kill()
                run.log_files([tmp_path / "curves.png"], "pictures")
                (tmp_path / "curves.png").write_bytes(b"another")
            if step == 8:
                server.start()
            run.log_metrics([("train/loss", 1 / (step + 1), step)])
            run.flush()

    stored = _only_run(server, "killed")
    assert stored.info.run_id == begun_as == run.run_id
    assert stored.info.status == "FINISHED"
    assert _history(server, begun_as) == [(step, 1 / (step + 1)) for step in range(STEPS)]
    client = MlflowClient(server.address)
    where = client.download_artifacts(begun_as, "pictures/curves.png", str(tmp_path))
    assert Path(where).read_bytes() == b"picture"
    assert journals(tmp_path / "mlruns") == []
    assert _begins(caplog, "MLflow is away", "MLflow is back")


def test_a_run_that_began_without_server_is_written_by_the_next_stage_once(
    server: MlflowServer, tmp_path: Path
) -> None:
    root = tmp_path / "mlruns"
    server.kill()
    before = int(time.time() * 1000)
    with start_run("later", "bot", tags={"a": "b"}, params={"seed": 1}, root=root) as run:
        run.log_metrics([("train/loss", float("nan"), 0), ("train/loss", 2.0, 1)])
        run.log_dataset("synth", "ab" * 32, "data/synth/manifest.parquet", "train")
        run.log_text("seed: 1\n", "config/recipe.yaml")
        after = int(time.time() * 1000)
    kept = run.run_id
    assert kept.startswith(PROVISIONAL)
    child = start_run("later", "child", tags={"mlflow.parentRunId": kept}, root=root)
    assert find_run(kept, root) is not None
    time.sleep(0.01)
    server.start()

    with start_run("other", "next stage", root=root):
        pass
    child.finish()

    client = MlflowClient(server.address)
    (experiment,) = client.search_experiments(filter_string="name = 'later'")
    runs = client.search_runs([experiment.experiment_id], order_by=["start_time"])
    assert [found.info.run_name for found in runs] == ["bot", "child"]
    stored = runs[0]
    assert runs[1].data.tags["mlflow.parentRunId"] == stored.info.run_id
    assert before <= stored.info.start_time <= stored.info.end_time <= after + 1000
    assert stored.info.end_time < runs[1].info.end_time
    values = client.get_metric_history(stored.info.run_id, "train/loss")
    assert [value.step for value in values] == [0, 1]
    assert before <= values[0].timestamp <= after
    assert values[0].value != values[0].value
    assert len(stored.inputs.dataset_inputs) == 1
    found = find_run(kept, root)
    assert found is not None
    assert found.run_id == stored.info.run_id
    again = start_run("later", "bot", run_id=kept, root=root)
    assert again.run_id == stored.info.run_id
    again.finish()


def test_a_replay_that_is_killed_is_repeated_without_duplicates(
    server: MlflowServer, tmp_path: Path
) -> None:
    root, total = tmp_path / "mlruns", 60
    server.kill()
    (tmp_path / "backbone.bin").write_bytes(b"weights")
    with start_run("replayed", "bot", root=root) as run:
        for step in range(total):
            run.log_metrics([("train/loss", float(step), step)])
            run.flush()
        run.log_logged_files(
            LoggedFiles(
                name="backbone",
                model_type="backbone",
                tags={},
                params={},
                sources=(tmp_path / "backbone.bin",),
            )
        )
    (journal,) = journals(root)
    assert journal.waiting == total + 3
    server.start()

    process = get_context("fork").Process(target=_replay, args=(root,))
    process.start()
    while journal.waiting > total // 2:
        assert process.is_alive()
        time.sleep(0.001)
    process.kill()
    process.join()
    assert journal.waiting > 0
    (journal.folder / "applied").unlink()  # as if the count had been lost too

    replay_all(open_client(root), root)

    stored = _only_run(server, "replayed")
    assert _history(server, stored.info.run_id) == [(s, float(s)) for s in range(total)]
    client = MlflowClient(server.address)
    (model,) = client.search_logged_models([stored.info.experiment_id])
    assert model.source_run_id == stored.info.run_id
    assert not journal.folder.exists()


def test_a_lost_answer_makes_no_second_run(server: MlflowServer, tmp_path: Path) -> None:
    """The server wrote the run, and the client never heard of it."""
    root = tmp_path / "mlruns"
    server.kill()
    run = start_run("unheard", "bot", root=root)
    server.start()
    client = MlflowClient(server.address)
    experiment = client.create_experiment("unheard")
    client.create_run(experiment, run_name="bot", tags={KEY_TAG: run.run_id})
    run.finish()
    assert _only_run(server, "unheard").info.status == "FINISHED"


def test_refusals_are_raised_and_not_spooled(server: MlflowServer, tmp_path: Path) -> None:
    root = tmp_path / "mlruns"
    run = start_run("refused", "bot", params={"seed": 1}, root=root)
    with pytest.raises(MlflowException, match="seed"):
        run.log_params({"seed": 2})
    with pytest.raises(ValueError, match="valid string"):
        run.set_tags({"number": 1})  # type: ignore[dict-item]
    run.finish()
    assert journals(root) == []


def test_a_refusal_in_a_replay_is_kept_and_stops_nothing(
    server: MlflowServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "mlruns"
    run = start_run("aside", "bot", params={"seed": 1}, root=root)
    server.kill()
    run.log_params({"seed": 2})
    server.start()
    run.finish()
    stored = _only_run(server, "aside")
    assert (stored.info.status, stored.data.params) == ("FINISHED", {"seed": "1"})
    (journal,) = journals(root)
    assert (journal.waiting, journal.refused) == (0, 1)
    (line,) = (journal.folder / "refused.jsonl").read_text().splitlines()
    assert json.loads(line)["operation"]["params"] == [["seed", "2"]]
    assert "MLflow refused a record" in caplog.text


def test_a_torn_line_is_cut_off_and_order_is_kept(tmp_path: Path) -> None:
    journal = journal_of(tmp_path, "run-1")
    journal.append(Batch(tags=(("a", "1"),)))
    with (journal.folder / "journal.jsonl").open("ab") as file:
        file.write(b'{"kind": "ba')
    assert journal.waiting == 1
    journal.append(Batch(tags=(("a", "2"),)))
    lines = (journal.folder / "journal.jsonl").read_text().splitlines()
    assert [json.loads(line)["tags"] for line in lines] == [[["a", "1"]], [["a", "2"]]]


def test_one_process_replays_at_a_time(server: MlflowServer, tmp_path: Path) -> None:
    root = tmp_path / "mlruns"
    server.kill()
    run = start_run("turns", "bot", root=root)
    server.start()
    with replay_turn(root) as ours:
        assert ours
        done = replay_all(open_client(root), root)
    assert (done.applied, done.whole) == (0, False)
    run.finish()
    assert _only_run(server, "turns").info.status == "FINISHED"


def test_what_waits_for_a_server_goes_to_no_other_store(
    server: MlflowServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mlruns: Path
) -> None:
    root = tmp_path / "mlruns"
    server.kill()
    start_run("elsewhere", "bot", root=root).finish()
    assert len(journals(root)) == 1
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{mlruns}/mlflow.db")
    assert journals(root) == []


def _replay(root: Path) -> None:
    replay_all(open_client(root), root)


# a program of its own: the bound on files would stay, and a fork has what other tests opened
FULL_DISK = """\
import logging, resource, sys
from pathlib import Path
from reid.tracking.run import start_run

root, big, log = map(Path, sys.argv[1:])
logging.basicConfig(filename=log, format="%(message)s", force=True)
run = start_run("full", "bot", root=root)
resource.setrlimit(resource.RLIMIT_FSIZE, (8 << 20, resource.RLIM_INFINITY))
run.log_files([big], "pictures")
run.log_metrics([("train/loss", 1.0, 1)])
run.finish()
"""


def test_a_file_that_finds_no_room_is_named_and_uploaded_later(
    mlruns: Path, tmp_path: Path
) -> None:
    big, log = tmp_path / "big.png", tmp_path / "log"
    big.write_bytes(b"x" * (9 << 20))
    open_store(mlruns)
    command = [sys.executable, "-c", FULL_DISK, *map(str, (mlruns, big, log))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    first, second = log.read_text().splitlines()
    assert f"{big} ([Errno 27] File too large" in first
    assert "`reid tracking replay`" in first
    assert "3 records of run" in second

    client = open_client(mlruns)
    assert replay_all(client, mlruns).applied == 3
    experiment = client.get_experiment_by_name("full")
    (stored,) = client.search_runs([experiment.experiment_id])
    assert (stored.info.status, stored.data.metrics) == ("FINISHED", {"train/loss": 1.0})
    where = client.download_artifacts(stored.info.run_id, "pictures/big.png", str(tmp_path / ".."))
    assert Path(where).stat().st_size == big.stat().st_size


@contextmanager
def _disk(place: Path, size: str) -> Iterator[None]:
    """Mount a file system in memory; what is in it is lost with it."""
    place.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a file system")
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_training_goes_on_when_the_disk_of_the_artifacts_is_full(
    mlruns: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    open_store(mlruns)
    root, picture = tmp_path / "mlruns", tmp_path / "curves.png"
    shutil.copytree(mlruns, root)
    picture.write_bytes(b"x" * (1 << 20))
    with _disk(root / "artifacts", "256k"):
        with start_run("tiny disk", "bot", root=root) as run:
            run.log_files([picture], "training")
            run.log_metrics([("train/loss", 1.0, 1)])
        assert f"not uploaded for run {run.run_id}: {picture} ([Errno 28]" in caplog.text
        picture.unlink()
    with _disk(root / "artifacts", "4m"):
        assert replay_now(root).applied == 3
        client = open_client(root)
        stored = client.get_run(run.run_id)
        assert (stored.info.status, stored.data.metrics) == ("FINISHED", {"train/loss": 1.0})
        (file,) = client.list_artifacts(run.run_id, "training")
        assert (file.path, file.file_size) == ("training/curves.png", 1 << 20)
