"""Wrong inputs at the command line: one clear line, and an exit code that says what kind it is."""

import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from filelock import FileLock
from PIL import Image

from reid.stages.paths import manifest_file

from .command_line import CommandLine

ROOT = Path(__file__).parents[2]


class Workspace(CommandLine):
    """A project folder with a tiny Market-1501 copy in `raw/market1501`."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        super().__init__(capsys)
        self.folder, self.raw = folder, folder / "raw/market1501"

    def image(self, name: str, shade: int) -> None:
        path = self.raw / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.effect_noise((32, 64), 40 + shade).convert("RGB").save(path)

    def edit_study(self, **sections: object) -> None:
        path = self.folder / "params/study.yaml"
        data = yaml.safe_load(path.read_text())
        data.update(sections)
        path.write_text(yaml.safe_dump(data))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One MLflow database for all tests here: making its tables takes seconds."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


@pytest.fixture
def workspace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], store: str
) -> Workspace:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    shutil.copytree(ROOT / "params", tmp_path / "params")
    made = Workspace(tmp_path, capsys)
    mine = {
        "made_from": "raw/market1501",
        "compared_with": "data/mine",
        "source": {"reader": "market1501", "official": False},
        "suite": "person",
        "protocols": ["market"],
    }
    run = {"starts_from": "reid/nn", "train": "mine", "test": "mine", "transfer": "mine"}
    made.edit_study(
        study="wrong",
        datasets={"mine": mine},
        pretrainings={},
        run_defaults={},
        runs={
            method: {**run, "method": method, "recipe": f"params/methods/{method}/smoke.yaml"}
            for method in ("bot", "transreid")
        },
    )
    for person in range(1, 5):
        for camera in (1, 2):
            for number in range(2):
                name = f"{person:04}_c{camera}s1_{number:06}_01.jpg"
                made.image(f"bounding_box_train/{name}", 4 * person + camera + number)
    for person in (7, 8):
        made.image(f"query/{person:04}_c1s1_000001_00.jpg", person)
        made.image(f"bounding_box_test/{person:04}_c2s1_000001_01.jpg", person + 20)
    return made


def test_missing_folder(workspace: Workspace) -> None:
    shutil.rmtree(workspace.raw)
    code, line = workspace.fails("data", "build", "mine")
    assert code == 4
    assert "raw/market1501" in line
    assert not (workspace.folder / "data/mine").exists()


def test_empty_split(workspace: Workspace) -> None:
    shutil.rmtree(workspace.raw / "query")
    (workspace.raw / "query").mkdir()
    code, line = workspace.fails("data", "build", "mine")
    assert code == 4
    assert "query" in line


def test_unknown_recipe_key(workspace: Workspace) -> None:
    recipe = workspace.folder / "params/methods/bot/smoke.yaml"
    recipe.write_text(recipe.read_text().replace("schedule:", "shedule:"))
    code, line = workspace.fails("train", "bot")
    assert code == 3
    assert "unknown key 'shedule' (did you mean 'schedule'?)" in line


def test_unknown_run(workspace: Workspace) -> None:
    code, line = workspace.fails("train", "transried")
    assert code == 3
    assert "did you mean 'transreid'?" in line


def test_training_before_the_data(workspace: Workspace) -> None:
    code, line = workspace.fails("train", "bot")
    assert code == 4
    assert "data/mine/manifest.parquet: no such file" in line


def test_image_that_cannot_be_decoded(workspace: Workspace) -> None:
    bad = "bounding_box_train/0001_c1s1_000000_01.jpg"
    (workspace.raw / bad).write_bytes((workspace.raw / bad).read_bytes()[:200])
    workspace.works("data", "build", "mine")
    code, line = workspace.fails("validate", "mine")
    assert code == 5
    assert "image_decodes" in line
    assert bad in line


def test_image_that_rots_after_the_gate(workspace: Workspace) -> None:
    workspace.works("data", "build", "mine")
    bad = workspace.raw / "bounding_box_train/0001_c1s1_000000_01.jpg"
    bad.write_bytes(b"rotten")
    code, line = workspace.fails("train", "bot")
    assert code == 4
    assert f"{bad.relative_to(workspace.folder)}: cannot be decoded" in line
    assert not (workspace.folder / "models").exists()


def test_a_second_process_does_not_train_the_same_run(workspace: Workspace) -> None:
    workspace.works("data", "build", "mine")
    lock = workspace.folder / ".reid/locks/train@bot.lock"
    lock.parent.mkdir(parents=True)
    with FileLock(lock):
        code, line = workspace.fails("train", "bot")
    assert code == 3
    assert "another process is at train@bot" in line
    workspace.works("train", "bot")


def test_no_valid_query(workspace: Workspace) -> None:
    for path in (workspace.raw / "bounding_box_test").iterdir():
        path.rename(path.with_name(path.name.replace("_c2s1_", "_c1s1_")))
    workspace.works("data", "build", "mine")
    code, line = workspace.fails("validate", "mine")
    assert code == 5
    assert "valid_queries" in line or "query_has_cross_camera_match" in line
    workspace.works("train", "bot")
    workspace.works("embed", "bot")
    code, line = workspace.fails("evaluate", "bot")
    assert code == 7
    assert "no query image shares an identity with a gallery image of another camera" in line


def test_model_of_another_architecture(workspace: Workspace) -> None:
    workspace.works("data", "build", "mine")
    workspace.works("train", "bot")
    shutil.copytree(workspace.folder / "models/wrong/bot", workspace.folder / "models/wrong/copy")
    weights = workspace.folder / "models/wrong/bot/model.safetensors"
    recipe = workspace.folder / "models/wrong/bot/recipe.yaml"
    recipe.write_text(recipe.read_text().replace("mobilenetv3_small_050", "resnet10t"))
    code, line = workspace.fails("embed", "bot")
    assert code == 6
    assert "do not fit the network" in line
    assert weights.exists()


def test_foreign_checkpoint_of_another_architecture(workspace: Workspace) -> None:
    workspace.works("data", "build", "mine")
    torch.save({"conv1.weight": torch.zeros(2)}, workspace.folder / "other.pth")
    recipe = "params/methods/transreid/smoke.yaml"
    arguments = ("import", "other.pth", "models/x", "--recipe", recipe, "--dataset", "mine")
    code, line = workspace.fails(*arguments)
    assert code == 6
    assert "expected a published TransReID checkpoint" in line
    assert not (workspace.folder / "models/x").exists()


def test_camera_outside_the_side_information_table(workspace: Workspace) -> None:
    workspace.works("data", "build", "mine")
    workspace.works("train", "transreid")
    card = workspace.folder / "models/wrong/transreid/card.json"
    data = json.loads(card.read_text())
    data["camera_ids"].append(9)
    card.write_text(json.dumps(data))
    code, line = workspace.fails("embed", "transreid")
    assert code == 6
    assert "side_information" in line


def test_an_unseen_camera_is_no_error(workspace: Workspace) -> None:
    for path in (workspace.raw / "bounding_box_test").iterdir():
        path.rename(path.with_name(path.name.replace("_c2s1_", "_c5s1_")))
    workspace.works("data", "build", "mine")
    assert manifest_file("mine").exists()
    workspace.works("train", "transreid")
    workspace.works("embed", "transreid")
