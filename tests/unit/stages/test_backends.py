"""Where a network's parts can be computed in several ways, the records say which it was."""

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from reid.methods.bot.network import BagOfTricks
from reid.methods.embedding import best_device
from reid.methods.model_directory import load_model
from reid.nn.scan.backends import Choice
from reid.retrieval.embeddings import Embeddings
from reid.stages import train, training_run
from reid.stages.embed import embed_run
from tests.unit.stages.tiny_manifest import row, write_manifest

ROOT = Path(__file__).parents[3]
SPLITS = {"train": range(8), "query": range(8, 12), "gallery": range(12, 16)}


class Recorder:
    """Takes the place of the MLflow run."""

    run_id = "id"

    def __init__(self) -> None:
        self.tags: dict[str, str] = {}

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def set_tags(self, tags: Mapping[str, str]) -> None:
        self.tags |= tags

    def log_metrics(self, metrics: Iterable[tuple[str, float, int]]) -> None:
        return None

    def log_dataset(self, *facts: str) -> None:
        return None

    def log_text(self, text: str, path: str) -> None:
        return None

    def log_files(self, paths: Iterable[Path], folder: str) -> None:
        return None


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The smoke study on sixteen images of four people."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "params/studies", tmp_path / "params/studies")
    shutil.copytree(ROOT / "params/methods/bot", tmp_path / "params/methods/bot")
    study = yaml.safe_load((ROOT / "params/studies/smoke.yaml").read_text())
    study["datasets"]["synth_smoke_a"]["source"] = {"reader": "market1501", "official": False}
    study["datasets"]["synth_smoke_a"]["made_from"] = "raw"
    Path("params/study.yaml").write_text(yaml.safe_dump(study))
    Path("raw").mkdir()
    draw = np.random.default_rng(0)
    rows = []
    for split, numbers in SPLITS.items():
        for k in numbers:
            pixels = draw.integers(0, 256, (32, 16, 3), np.uint8)
            Image.fromarray(pixels).save(f"raw/{k}.png")
            rows.append(row(f"{k}.png", split, pid=k % 4, label=k % 4, camid=k % 2))
    write_manifest("synth_smoke_a", rows)


def test_train_and_embed_record_the_backends(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def backends(_network: BagOfTricks, device: str) -> dict[str, Choice]:
        asked.append(device)
        return {"scan": Choice("torch", "asked for")}

    recorder = Recorder()
    monkeypatch.setattr(BagOfTricks, "backends", backends)
    monkeypatch.setattr(training_run, "tracked_run", lambda *facts: recorder)
    train.train_run("bot")
    embed_run("bot")

    assert recorder.tags.pop("energy")  # of the machine, as every training has it
    assert recorder.tags == {"backend.scan": "torch", "backend.scan.reason": "asked for"}

    assert load_model(Path("models/smoke/bot")).card.backends == {"scan": "torch"}
    stored = Embeddings.load(Path("embeddings/smoke/bot/synth_smoke_a"))
    assert stored.card["backends"] == {"scan": "torch"}
    assert set(asked) == {best_device().type}
