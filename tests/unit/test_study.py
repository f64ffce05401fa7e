import subprocess
from pathlib import Path

import pytest
import yaml

from reid.errors import ParamsError
from reid.stages.study import list_studies, use_study
from reid.study import load_study

STUDIES = sorted((Path(__file__).parents[2] / "params/studies").glob("*.yaml"))


@pytest.mark.parametrize("path", STUDIES, ids=lambda p: p.stem)
def test_stored_studies_are_valid_and_named_after_their_file(path: Path) -> None:
    assert load_study(path).study == path.stem


@pytest.mark.parametrize("path", STUDIES, ids=lambda p: p.stem)
def test_no_shipped_study_uses_withdrawn_data(path: Path) -> None:
    readers = {entry.source.reader for entry in load_study(path).datasets.values()}
    assert readers.isdisjoint({"dukemtmcreid", "occluded_duke"})


def test_the_active_study_is_committed_as_demo() -> None:
    """Whoever works here may have another one in place; a clone starts with the demo."""
    root = Path(__file__).parents[2]
    show = ["git", "-C", str(root), "show", "HEAD:params/study.yaml"]
    committed = subprocess.run(show, capture_output=True, check=True).stdout
    assert committed == (root / "params/studies/demo.yaml").read_bytes()


def test_a_run_on_an_unknown_dataset_is_refused(tmp_path: Path) -> None:
    data = yaml.safe_load(STUDIES[0].read_text())
    first = next(iter(data["runs"].values()))
    first["test"] = "synth_demo_x"
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(data))
    with pytest.raises(ParamsError, match=r"has no dataset 'synth_demo_x' \(did you mean 'synth_"):
        load_study(path)


@pytest.mark.parametrize(
    ("name", "by", "message"),
    [
        ("second", "nobody", "has no run 'nobody'"),
        ("transmatcher", "transreid", "a run and a shortlist 'transmatcher'"),
        ("second", "reidmamba", "reidmamba is not tested on synth_demo_b"),
    ],
)
def test_a_shortlist_needs_two_runs_on_its_test_sets(
    tmp_path: Path, name: str, by: str, message: str
) -> None:
    data = yaml.safe_load(next(p for p in STUDIES if p.stem == "demo").read_text())
    data["shortlists"] = {name: {"matcher": "transmatcher", "by": by}}
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(data))
    with pytest.raises(ParamsError, match=message):
        load_study(path)


def test_a_precision_that_no_feature_store_has_is_refused(tmp_path: Path) -> None:
    data = yaml.safe_load(STUDIES[0].read_text())
    data["embeddings"] = {"precision": "int8"}
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(data))
    with pytest.raises(ParamsError, match=r"embeddings.precision.*float32.*bfloat16"):
        load_study(path)


def test_unknown_run_names_the_nearest() -> None:
    study = load_study(next(p for p in STUDIES if p.stem == "demo"))
    with pytest.raises(ParamsError, match=r"no run 'transried' \(did you mean 'transreid'\?\)"):
        study.run("transried")


def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "params/studies"
    folder.mkdir(parents=True)
    for path in STUDIES:
        (folder / path.name).write_bytes(path.read_bytes())
    (tmp_path / "params/study.yaml").write_bytes((folder / "demo.yaml").read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path / "params/study.yaml"


def test_use_puts_a_study_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    active = project(tmp_path, monkeypatch)
    use_study("smoke")
    assert load_study(active).study == "smoke"
    assert ("smoke", True) in list_studies()


def test_use_never_drops_edits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    active = project(tmp_path, monkeypatch)
    active.write_text(active.read_text().replace("max_rank: 50", "max_rank: 20"))
    with pytest.raises(ParamsError, match=r"differs from every study .* add --force"):
        use_study("smoke")
    assert load_study(active).evaluation.max_rank == 20
    use_study("smoke", force=True)
    assert load_study(active).study == "smoke"


def test_use_of_an_unknown_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project(tmp_path, monkeypatch)
    with pytest.raises(ParamsError, match=r"no study 'smok' \(did you mean 'smoke'\?\)"):
        use_study("smok")
