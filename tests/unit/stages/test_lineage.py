import json
from pathlib import Path
from typing import Any

import pytest

from reid.errors import RegistryError, ReidError
from reid.stages.lineage import find_record, show_lineage
from tests.unit.tracking.small_lineage import lineage_of, make_project


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The record of a run, in a project that is the current folder."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(make_project(tmp_path))
    record = {"name": "small.world", "version": 2, "metrics": {}, "lineage": lineage_of(tmp_path)}
    file = tmp_path / "registry/small/bot.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(record))
    return record


def test_a_run_and_a_file_are_found(record: dict[str, Any]) -> None:
    assert find_record("bot") == find_record("registry/small/bot.json") == record


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("bat", "no run 'bat' .did you mean 'bot'"),
        ("away.json", r"away\.json: no such file; expected the record"),
        ("small.world/1", "no MLflow store in mlruns; expected"),
        ("small.world@champion", "no MLflow store in mlruns; expected"),
        ("broken.json", r"broken\.json: not JSON"),
        ("other.json", r"other\.json: something else; expected"),
        ("old.json", "names no stages; expected"),
    ],
)
def test_what_is_no_model_is_one_line(record: dict[str, Any], model: str, said: str) -> None:
    old = {**record, "lineage": {"run": "bot"}}
    for name, text in {"broken": "{", "other": "[1]", "old": json.dumps(old)}.items():
        Path(f"{name}.json").write_text(text)
    with pytest.raises(ReidError, match=said):
        find_record(model)


def test_a_run_that_was_not_registered_says_what_to_do(record: dict[str, Any]) -> None:
    Path("registry/small/bot.json").unlink()
    with pytest.raises(RegistryError, match="Run `reid register RUN`"):
        find_record("bot")


def test_the_tree_goes_back_to_the_source(
    record: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    show_lineage("bot")
    said = capsys.readouterr().out
    places = [
        said.index(text)
        for text in (
            "small.world version 2",
            "licence CC0",
            "embed@bot  not run by dvc",
            "evaluate@bot  run by dvc",
            "train@bot  run by dvc",
            "data@world  run by dvc",
            "made from reid/paint.py",
            "Differences of the present checkout\n  none",
        )
    ]
    assert places == sorted(places)
    digest = record["lineage"]["stages"]["train@bot"]["outs"]["models/small/bot"]
    assert f"writes models/small/bot {digest[:10]}.dir" in said
    assert digest not in said


def test_differences_stand_below_the_tree(
    record: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("reid/train.py").write_text("better\n")
    record["lineage"]["environment"]["packages"]["torch"] = "[1.0]"
    Path("other.json").write_text(json.dumps(record))
    show_lineage("other.json")
    said = capsys.readouterr().out.partition("Differences")[2]
    assert "+changes" in said
    assert "reid/train.py: " in said
    assert "1 file changed" in said
    assert "packages.torch: [1.0], now" in said


def test_programs_get_json(record: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    Path("models/small/bot/weights").write_text("by hand")
    show_lineage("bot", as_json=True)
    told = json.loads(capsys.readouterr().out)
    differences = told.pop("differences")
    assert told == record
    assert list(differences["made"]) == ["models/small/bot"]
