from pathlib import Path
from typing import Any

import pytest
import yaml

from reid.errors import ParamsError
from reid.tracking.digest import dvc_md5
from reid.tracking.dvc_lock import RUN_BY_DVC, chain, describe_chain, producers, read_lock

FILES = {
    "reid/nn/layer.py": "code",
    "data/a/manifest.parquet": "index",
    "data/a/1.jpg": "image",
    "reports/validation/a/report.json": "passed",
    "models/s/pretrained/vit/backbone": "parent",
    "models/s/bot/weights": "trained",
    "results/s/bot.json": "measured",
}
GRAPH: dict[str, tuple[list[str], list[str]]] = {
    "evaluate@bot": (["models/s/bot"], ["results/s/bot.json"]),
    "train@bot": (
        ["data/a/manifest.parquet", "reports/validation/a", "models/s/pretrained/vit", "reid/nn"],
        ["models/s/bot"],
    ),
    "pretrain@vit": (["data/a/manifest.parquet"], ["models/s/pretrained/vit"]),
    "validate@a": (["data"], ["reports/validation/a"]),
    "data@a": (["reid/nn"], ["data/a"]),
    "train@other": (["data/a/manifest.parquet"], ["models/s/other"]),
}
ORDER = ["data@a", "pretrain@vit", "validate@a", "train@bot", "evaluate@bot"]


def write_lock(folder: Path, *without: str) -> Path:
    def entries(paths: list[str]) -> list[dict[str, Any]]:
        found = {path: folder / path for path in paths}
        return [{"path": p, "md5": dvc_md5(f), "hash": "md5", "size": 1} for p, f in found.items()]

    (folder / "models/s/other").mkdir(exist_ok=True, parents=True)
    stages = {
        name: {
            "cmd": f"reid {name.replace('@', ' ')}",
            "deps": entries(deps),
            "params": {"params/study.yaml": {"seed": 3}},
            "outs": entries(outs),
        }
        for name, (deps, outs) in GRAPH.items()
        if name not in without
    }
    lock = folder / "dvc.lock"
    lock.write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))
    return lock


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    write_lock(tmp_path)
    return tmp_path


def test_a_chain_has_all_parents_before_what_follows(project: Path) -> None:
    stages = read_lock(project / "dvc.lock")
    assert chain(stages, ["evaluate@bot"]) == ORDER
    assert producers(stages, "train@bot") == ["data@a", "pretrain@vit", "validate@a"]


def test_a_folder_that_is_read_whole_follows_from_what_lies_in_it(project: Path) -> None:
    assert producers(read_lock(project / "dvc.lock"), "validate@a") == ["data@a"]


def test_no_lock_file_means_no_stages(tmp_path: Path) -> None:
    assert read_lock(tmp_path / "dvc.lock") == {}
    assert chain({}, ["train@bot"]) == ["train@bot"]


def test_a_damaged_lock_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "dvc.lock").write_text("stages: [")
    with pytest.raises(ParamsError, match=r"dvc\.lock: not valid YAML"):
        read_lock(tmp_path / "dvc.lock")


def test_stages_are_described_as_dvc_recorded_them(project: Path) -> None:
    found = describe_chain(read_lock(project / "dvc.lock"), ["evaluate@bot"], project)
    assert list(found) == ORDER
    assert {stage["state"] for stage in found.values()} == {RUN_BY_DVC}
    train = found["train@bot"]
    assert train["command"] == "reid train bot"
    assert train["given"] == {"reid/nn": dvc_md5(project / "reid/nn")}
    assert list(train["read"]) == [p for p in GRAPH["train@bot"][0] if p != "reid/nn"]
    assert train["outs"] == {"models/s/bot": dvc_md5(project / "models/s/bot")}
    assert train["params"] == {"params/study.yaml": {"seed": 3}}
    assert train["changed"] == []


def test_a_stage_that_dvc_never_ran_is_named(project: Path) -> None:
    stages = read_lock(write_lock(project, "train@bot"))
    found = describe_chain(stages, ["evaluate@bot", "train@bot"], project)
    assert found["train@bot"] == {"state": "not run by dvc: dvc.lock has no such stage"}
    assert found["evaluate@bot"]["follows"] == []
    assert found["evaluate@bot"]["given"] == {"models/s/bot": dvc_md5(project / "models/s/bot")}


def test_files_made_by_hand_are_not_claimed(project: Path) -> None:
    (project / "models/s/bot/weights").write_text("by hand")
    found = describe_chain(read_lock(project / "dvc.lock"), ["evaluate@bot"], project)
    states = {name: stage["state"] for name, stage in found.items()}
    assert states.pop("train@bot") == "not run by dvc: models/s/bot is not what DVC recorded"
    assert states.pop("evaluate@bot") == "not run by dvc: models/s/bot changed after it ran"
    assert set(states.values()) == {RUN_BY_DVC}


def test_code_that_changed_since_is_named_and_compiled_code_is_not(project: Path) -> None:
    cached = project / "reid/nn/__pycache__/layer.pyc"
    cached.parent.mkdir()
    cached.write_text("compiled")
    stages = read_lock(project / "dvc.lock")
    assert describe_chain(stages, ["train@bot"], project)["train@bot"]["changed"] == []
    (project / "reid/nn/layer.py").write_text("other code")
    found = describe_chain(stages, ["train@bot"], project)
    assert found["train@bot"]["changed"] == ["reid/nn"]
    assert found["train@bot"]["state"] == RUN_BY_DVC


def test_what_is_away_or_large_is_taken_as_recorded(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = read_lock(project / "dvc.lock")
    (project / "results/s/bot.json").unlink()
    (project / "models/s/bot/weights").write_text("by hand")
    monkeypatch.setattr("reid.tracking.dvc_lock.LARGEST_BYTES", 1)
    found = describe_chain(stages, ["evaluate@bot"], project)
    assert {stage["state"] for stage in found.values()} == {RUN_BY_DVC}


def test_of_two_stages_with_one_output_the_one_that_fits_is_taken(project: Path) -> None:
    lock = yaml.safe_load((project / "dvc.lock").read_text())
    old = {**lock["stages"]["data@a"], "outs": [{"path": "data/a/manifest.parquet", "md5": "old"}]}
    new = [{"path": "data/a/manifest.parquet", "md5": dvc_md5(project / "data/a/manifest.parquet")}]
    lock["stages"] |= {"data@old": old, "data@new": {**old, "outs": new}}
    (project / "dvc.lock").write_text(yaml.safe_dump(lock))
    assert producers(read_lock(project / "dvc.lock"), "pretrain@vit") == ["data@new"]
