"""`reid select` and `reid select-list`, from the command line to the file that is written."""

import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from PIL import Image
from torch import Tensor

from reid.cli import main
from reid.methods.base import DataFacts
from reid.methods.model_directory import ModelCard, save_model
from reid.methods.personvit import METHOD, PersonVit, PersonVitRecipe
from reid.nn.backbone_file import BackboneFacts, save_backbone
from reid.pretrain.score_file import read_scores
from reid.pretrain.selection import select
from tests.unit.stages.tiny_manifest import row, write_manifest

ROOT = Path(__file__).parents[3]
NAMES = [f"UK/York/UK+York+v00.mp4/{number:08}_0000.jpg" for number in range(5)]


def network(height: int = 32, **model: Any) -> tuple[PersonVit, PersonVitRecipe]:
    """A small network whose weights are the same for equal arguments."""
    torch.manual_seed(0)
    size = {"embed": 12, "depth": 2, "heads": 2}
    recipe = PersonVitRecipe.model_validate(
        {
            "image": {"height": height, "width": 16},
            "optimiser": {"learning_rate": 0.01},
            "model": {"backbone": size, "patch": 8, "stride": 8, **model},
            "embed_batch": 2,
        }
    )
    made = METHOD.build(recipe, DataFacts(3, 1, 1))
    assert isinstance(made, PersonVit)
    return made, recipe


def card() -> ModelCard:
    return ModelCard(
        run="r",
        study="s",
        method="personvit",
        person_ids=(4, 7, 9),
        camera_ids=(0,),
        num_views=1,
        feature_size=12,
        parameters=1,
        train_dataset="d",
        manifest_digest="abc",
        licence="CC0",
        status="open",
        consent="synthetic",
        precision="fp32",
        seed=0,
        world_size=1,
        epochs=2,
        version="0",
    )


def save(folder: str, made: PersonVit, recipe: PersonVitRecipe) -> str:
    Path(folder).mkdir(parents=True)
    save_model(Path(folder), made, recipe, card())
    return folder


def tuned() -> PersonVit:
    """The network of the same seed, its last block changed a little and its neck too."""
    made, _ = network()
    with torch.no_grad():
        for name, value in made.named_parameters():
            if "blocks.1" in name or "neck" in name:
                value += 0.1 * torch.randn_like(value)
    return made


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with five unlabelled images, one of them broken."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "params/studies", tmp_path / "params/studies")
    study = yaml.safe_load((ROOT / "params/studies/smoke.yaml").read_text())
    study["datasets"]["lup"] = {
        "made_from": "raw/lup",
        "compared_with": "data/lup",
        "source": {"reader": "luperson", "official": False},
        "suite": "person",
        "protocols": [],
    }
    (tmp_path / "params/study.yaml").write_text(yaml.safe_dump(study))
    generator = np.random.default_rng(0)
    for name in NAMES[:-1]:
        path = tmp_path / "raw/lup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = generator.integers(0, 256, (8, 4, 3), np.uint8)
        Image.fromarray(pixels).resize((16, 32)).save(path)
    rows = [row(name, "pretrain") for name in NAMES]
    rows[-1]["flag"] = "broken"
    write_manifest("lup", rows)
    return tmp_path


def features(made: PersonVit, recipe: PersonVitRecipe) -> Tensor:
    """Embed the images one by one, without the code under test."""
    found = []
    size = (recipe.image.width, recipe.image.height)
    for name in NAMES[:-1]:
        image = Image.open(Path("raw/lup") / name).convert("RGB")
        pixels = torch.from_numpy(np.array(image.resize(size, Image.Resampling.BILINEAR)))
        with torch.no_grad():
            feature = made.eval().features((pixels.permute(2, 0, 1)[None] / 255 - 0.5) / 0.5)
        found.append(feature[0].double())
    return torch.stack(found)


def test_images_are_scored_best_first(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = network(), (tuned(), network()[1])
    before, after = save("before", *first), save("after", *second)
    given = ("select", "lup", "--before", before, "--after", after, "--out", "out/s.parquet")
    assert main(given) == 0
    said = capsys.readouterr().out
    assert "out/s.parquet: 4 images, cosine 0." in said
    assert "quartiles 0." in said
    expected = torch.cosine_similarity(features(*first), features(*second)).numpy()
    assert expected.std() > 1e-4
    found = read_scores(Path("out/s.parquet"))
    order = np.argsort(-expected)
    assert list(found.by_path) == [NAMES[k] for k in order]
    np.testing.assert_allclose(list(found.by_path.values()), expected[order], atol=1e-6)
    assert select(NAMES[:-1], 0.25, found, 0).tolist() == [order[0]]
    stored = pq.read_metadata("out/s.parquet").metadata
    assert stored[b"dataset"] == b"lup"
    assert b"our reconstruction" in stored[b"score"]
    assert stored[b"before_digest"] != stored[b"after_digest"]
    content = Path("out/s.parquet").read_bytes()
    assert main(given) == 0
    assert Path("out/s.parquet").read_bytes() == content


def test_models_may_see_images_of_other_sizes() -> None:
    first, second = network(64), network()
    before, after = save("before", *first), save("after", *second)
    assert main(("select", "lup", "--before", before, "--after", after, "--out", "s.parquet")) == 0
    expected = torch.cosine_similarity(features(*first), features(*second)).numpy()
    found = read_scores(Path("s.parquet"))
    np.testing.assert_allclose([found.by_path[n] for n in NAMES[:-1]], expected, atol=1e-6)


def test_the_weights_that_a_model_began_with_may_stand_for_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    begun, recipe = network()
    torch.save(begun.backbone.state_dict(), "weights.pth")
    Path("pretrained").mkdir()
    facts = BackboneFacts(grid=(4, 2), image_size=(32, 16), mean=(0, 0, 0), std=(1, 1, 1))
    save_backbone(Path("pretrained/backbone.safetensors"), begun.backbone.state_dict(), facts)
    before, after = save("before", begun, recipe), save("after", tuned(), recipe)
    files = ("one.parquet", "two.parquet", "three.parquet")
    for source, name in zip((before, "weights.pth", "pretrained"), files, strict=True):
        assert main(("select", "lup", "--before", source, "--after", after, "--out", name)) == 0
    said = capsys.readouterr().out
    assert (
        f"weights.pth: {len(begun.backbone.state_dict())} tensors loaded, 6 missing (neck" in said
    )
    one, two, three = (read_scores(Path(name)).by_path for name in files)
    assert one == two == three


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = main(arguments)
    (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith("error: ")]
    return code, line


@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [
        ({"--out": "s.csv"}, 3, "--out s.csv; expected a name that ends in .parquet"),
        ({"--after": "nowhere"}, 6, "nowhere has no card.json"),
        ({"--before": "nowhere"}, 6, "nowhere: no such file"),
        ({"--before": "wide"}, 6, "features of 5 values before and of 12 after"),
    ],
)
def test_wrong_arguments(
    changes: dict[str, str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    save("good", *network())
    save("wide", *network(reduction=5))
    given = {"--before": "good", "--after": "good", "--out": "s.parquet"} | changes
    words = [word for pair in given.items() for word in pair]
    found, line = fails(capsys, "select", "lup", *words)
    assert found == code
    assert message in line
    assert not list(Path().glob("s.*"))


@pytest.mark.parametrize("value", [0.0, float("nan")])
def test_features_without_a_direction(value: float, capsys: pytest.CaptureFixture[str]) -> None:
    made, recipe = network()
    save("good", made, recipe)
    torch.nn.init.constant_(made.backbone.norm.weight, value)
    given = ("--before", "good", "--after", save("bad", made, recipe), "--out", "s.parquet")
    code, line = fails(capsys, "select", "lup", *given)
    assert code == 6
    assert "features of 4 of 4 images that are zero or not finite" in line
    assert not Path("s.parquet").exists()


def test_a_dataset_without_unlabelled_images(capsys: pytest.CaptureFixture[str]) -> None:
    write_manifest("lup", [row("a.jpg", "train")])
    given = ("--before", "a", "--after", "b", "--out", "s.parquet")
    code, line = fails(capsys, "select", "lup", *given)
    assert code == 4
    assert "lup: the pretrain split is empty" in line


def test_a_published_list(capsys: pytest.CaptureFixture[str]) -> None:
    Path("l.pkl").write_bytes(pickle.dumps(["b.jpg", "a.jpg"]))
    assert main(("select-list", "l.pkl", "--out", "l.txt")) == 0
    assert capsys.readouterr().out == "l.txt: 2 names, best first\n"
    assert Path("l.txt").read_text() == "b.jpg\na.jpg\n"
    Path("l.pkl").write_bytes(pickle.dumps(Path("l")))
    code, line = fails(capsys, "select-list", "l.pkl", "--out", "l.txt")
    assert code == 4
    assert "it holds an object of pathlib" in line
