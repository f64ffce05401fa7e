"""The compare stage on made-up results, with pictures of a folder of images."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from reid.errors import DataError
from reid.params import merge
from reid.retrieval.answers import FirstAnswers
from reid.retrieval.result import QueryScores, Result
from reid.stages.compare import LOCAL_PAGES, compare_runs
from reid.study import STUDY_FILE

STUDY = Path(__file__).parents[3] / "params/studies/smoke.yaml"
WORLD, TEST_SET = "synth_smoke_a", "synth_smoke_a/market"
FIGURES = ("mAP", "rank1", "rank5", "rank10", "mINP")


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two methods with a record each, and the images that they were asked for and found."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    STUDY_FILE.parent.mkdir()
    study = yaml.safe_load(STUDY.read_text())
    STUDY_FILE.write_text(yaml.safe_dump(merge(study, {"evaluation": {"pictures": 0}})))
    folder = Path("data") / WORLD
    folder.mkdir(parents=True)
    for number, name in enumerate([f"{kind}{n}.png" for kind in "qga" for n in range(6)]):
        Image.new("RGB", (32, 64), (10 * number, 90, 120)).save(folder / name)
    for run, level in (("bot", 0.3), ("transreid", 0.7)):
        save_result(run, level)


def save_result(run: str, level: float, **card: Any) -> None:
    right = np.arange(6) % 2 == (run == "bot")
    names = ["a" if good else "g" for good in right]
    answers = np.array([f"{kind}{n}.png" for n, kind in enumerate(names)])
    paths = np.array([f"q{n}.png" for n in range(6)])
    precision = level + np.linspace(0, 0.2, 6)
    scores = QueryScores(
        paths, precision, np.where(right, 1.0, 3.0), answers=FirstAnswers(answers, right)
    )
    facts = {
        "protocol": "market",
        "dataset": WORLD,
        "method": run,
        "trial_mean": {"plain": {}},
        "mlflow_run_id": f"id-of-{run}",
        **card,
    }
    metrics = {f"{TEST_SET}/{name}": float(precision.mean()) for name in FIGURES}
    key = (TEST_SET, "plain")
    curve = np.linspace(0.5, 1, 5)
    made = Result(run, metrics, {TEST_SET: facts}, {key: curve}, {key: scores}, {TEST_SET: {}})
    made.save(Path("results/smoke"))


def test_pictures_come_from_the_data_set() -> None:
    compare_runs()
    page = Path("reports/smoke/comparison.html").read_text()
    assert page.count("data:image/jpeg") == 12
    assert "right answer of transreid: a0.png" in page
    assert f'href="{LOCAL_PAGES}/#/runs/id-of-bot"' in page
    first = {path.name: path.read_bytes() for path in Path("reports/smoke").iterdir()}
    compare_runs()
    assert {path.name: path.read_bytes() for path in Path("reports/smoke").iterdir()} == first


@pytest.mark.parametrize(
    ("named", "address"),
    [
        ("https://someone:secret@mlflow.example/base/", "https://mlflow.example/base"),
        ("sqlite:///elsewhere/mlflow.db", LOCAL_PAGES),
    ],
)
def test_links_lead_to_the_server_that_is_named(
    named: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", named)
    compare_runs()
    page = Path("reports/smoke/comparison.html").read_text()
    assert f'href="{address}/#/runs/id-of-bot"' in page
    assert "secret" not in page


def test_a_missing_image_is_one_line() -> None:
    (Path("data") / WORLD / "q0.png").unlink()
    with pytest.raises(DataError, match=r"q0\.png"):
        compare_runs()
    assert not Path("reports/smoke/comparison.html").exists()


def test_page_table_and_metrics_show_the_same_numbers() -> None:
    compare_runs()
    metrics = json.loads(Path("results/smoke/transreid.json").read_text())
    shown = f"{100 * metrics[f'{TEST_SET}/mAP']:.2f}"
    for kind in ("html", "md"):
        assert shown in Path(f"reports/smoke/comparison.{kind}").read_text()
    assert str(metrics[f"{TEST_SET}/mAP"]) in Path("reports/smoke/comparison.csv").read_text()
