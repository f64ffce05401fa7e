"""Two processes that write at once, and a database that another program has locked."""

import sqlite3
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from multiprocessing import get_context
from pathlib import Path

import pytest

from reid.tracking import outlet
from reid.tracking.run import start_run
from reid.tracking.spool import journals
from reid.tracking.store import open_client, open_store

STEPS = 10
BUSY_SECONDS = 20  # how long MLflow waits for SQLite


def _log(study: str, name: str, root: Path) -> str:
    with start_run(study, name, params={"name": name}, root=root) as run:
        for step in range(STEPS):
            run.log_metrics([("train/loss", float(step), step)])
            run.flush()
        return run.run_id


@pytest.mark.parametrize("rounds", [1, pytest.param(20, marks=pytest.mark.slow)])
def test_two_processes_log_at_once(mlruns: Path, rounds: int) -> None:
    open_store(mlruns)
    study = f"together {rounds}"
    with ProcessPoolExecutor(2, mp_context=get_context("fork")) as pool:
        for number in range(rounds):
            names = [f"{number}a", f"{number}b"]
            calls = [pool.submit(_log, study, name, mlruns) for name in names]
            runs = [call.result() for call in calls]
            client = open_client(mlruns)
            for name, run_id in zip(names, runs, strict=True):
                stored = client.get_run(run_id)
                assert (stored.info.status, stored.info.run_name) == ("FINISHED", name)
                history = client.get_metric_history(run_id, "train/loss")
                assert [entry.step for entry in history] == list(range(STEPS))
    experiment = client.get_experiment_by_name(study)
    assert len(client.search_runs([experiment.experiment_id])) == 2 * rounds
    assert journals(mlruns) == []


@pytest.mark.slow
def test_a_database_that_stays_locked_costs_nothing(
    mlruns: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(outlet, "PATIENCE", 0)
    run = start_run("locked", "bot", root=mlruns)
    with closing(sqlite3.connect(mlruns / "mlflow.db")) as other:
        other.execute("BEGIN EXCLUSIVE")
        begun = time.monotonic()
        run.log_metrics([("train/loss", 1.0, 1)])
        run.flush()
        assert time.monotonic() - begun > BUSY_SECONDS - 1
        begun = time.monotonic()
        run.log_metrics([("train/loss", 2.0, 2)])
        run.flush()
        assert time.monotonic() - begun < BUSY_SECONDS / 2  # it no longer waits each time
        assert journals(mlruns)[0].waiting == 2
        other.rollback()
    run.finish()
    assert "MLflow is away (database is locked)" in caplog.text
    history = open_client(mlruns).get_metric_history(run.run_id, "train/loss")
    assert [(entry.step, entry.value) for entry in history] == [(1, 1.0), (2, 2.0)]
    assert journals(mlruns) == []
