from pathlib import Path

import pytest
import yaml

from reid.stages import paths
from reid.study import DatasetEntry

STAGES = yaml.safe_load((Path(__file__).parents[3] / "dvc.yaml").read_text())["stages"]


@pytest.mark.parametrize(
    ("stage", "path"),
    [
        ("data", paths.manifest_file("${key}").parent),
        ("validate", paths.validation_folder("${key}")),
        ("train", paths.model_folder("${study}", "${key}")),
        ("embed", paths.embeddings_folder("${study}", "${key}")),
        ("evaluate", paths.results_folder("${study}") / "ranked/${key}"),
        ("register", paths.registry_file("${study}", "${key}")),
        ("compare", paths.report_folder("${study}") / "comparison.html"),
    ],
)
def test_a_stage_writes_where_the_graph_says(stage: str, path: Path) -> None:
    definition = STAGES[stage].get("do", STAGES[stage])
    outs = [next(iter(out)) if isinstance(out, dict) else out for out in definition["outs"]]
    assert str(path) in outs


@pytest.mark.parametrize(
    ("source", "root"),
    [
        ({"reader": "market1501"}, Path("raw/m")),
        ({"reader": "synthetic", "size": "smoke", "seed": 1}, Path("data/mine")),
    ],
)
def test_images_of_a_real_dataset_stay_where_they_are(
    source: dict[str, object], root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    root.mkdir(parents=True)
    entry = DatasetEntry.model_validate(
        {
            "made_from": "raw/m",
            "compared_with": "data/mine",
            "source": source,
            "suite": "person",
            "protocols": ["market"],
        }
    )
    assert paths.open_images("mine", entry).root == root
