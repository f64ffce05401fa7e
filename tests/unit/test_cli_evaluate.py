import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reid.cli_evaluate import add_evaluate_command
from reid.errors import ParamsError, ReidError
from reid.retrieval.foreign.names import COLUMNS
from reid.retrieval.result import Result
from reid.stages import evaluate as stage
from reid.stages import score


def run(*arguments: str) -> None:
    parser = argparse.ArgumentParser()
    add_evaluate_command(parser.add_subparsers())
    options = parser.parse_args(["evaluate", *arguments])
    options.command(options)


@pytest.fixture
def features(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    persons = np.repeat(np.arange(6), 5)
    np.savez(
        tmp_path / "toy.npz",
        feats=generator.normal(size=(6, 8))[persons] + generator.normal(size=(30, 8)),
        pids=persons,
        camids=np.tile(np.arange(1, 6), 6),
        is_query=np.arange(30) % 5 == 0,
    )
    return tmp_path / "toy.npz"


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the runs that would have been scored."""
    called: list[str] = []
    monkeypatch.setattr(stage, "evaluate_run", called.append)
    return called


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Arguments with which files would have been scored."""
    called: list[tuple[Any, ...]] = []
    monkeypatch.setattr(score, "score_files", lambda *arguments: called.append(arguments))
    return called


def test_a_run_of_the_study(
    runs: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "transreid").mkdir()
    run("transreid")
    assert runs == ["transreid"]


def test_a_file(features: Path, runs: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    run(str(features))
    said = capsys.readouterr().out
    assert runs == []
    assert "toy/market (per cent)" in said
    assert "plain" in said
    assert "rerank_k20_6_0.3" in said
    assert "6 queries; 24 gallery images; excluded: junk; same person and camera" in said


def test_expansions_and_search_have_names(
    features: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("--expand", "5", "0", "--expand", "4", "1.5", "--expand-gallery")
    run(str(features), "--rerank", "5", "2", "0.3", "--search", "approximate", *given)
    said = capsys.readouterr().out
    for name in ("rerank_k5_2_0.3_approximate", "aqe_dba_k5", "alpha_qe_dba_k4_1.5"):
        assert name in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--expand-gallery",), "--expand-gallery alone; expected --expand K ALPHA beside it"),
        (("--expand", "2.5", "3"), "--expand 2.5 3; expected a whole K"),
        (("--expand", "0", "3"), "expansion by 0 neighbours"),
    ],
)
def test_wrong_expansions(features: Path, arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        run(str(features), *arguments)


def test_a_variant_stands_beside_plain_and_canonical_scores(
    features: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("--rerank-variant", "query_only", "--rerank-variant", "float16")
    run(str(features), "--rerank", "5", "2", "0.3", *given)
    said = capsys.readouterr().out
    for name in ("plain", "rerank_k5_2_0.3", "rerank_float16_k5_2_0.3"):
        assert name in said
    assert "rerank_query_only_k5_2_0.3 exploits that all test queries are known at once" in said


def test_plain_distances_only(features: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(str(features), "--no-rerank", "--protocol", "no_camera")
    said = capsys.readouterr().out
    assert "plain" in said
    assert "rerank" not in said


def test_options_reach_the_stage(features: Path, scored: list[tuple[Any, ...]]) -> None:
    run(
        *(str(features), "other.npz", "--protocol", "market", "--protocol", "no_camera"),
        *("--rerank", "50", "15", "0.2", "--max-rank", "5", "--memory", "1.5GB", "--raw"),
        *("--labels", "rows.csv", "--name", "set", "--out", "folder"),
    )
    ((wanted, settings, folder),) = scored
    assert wanted.paths == (features, Path("other.npz"))
    assert wanted.protocols == ("market", "no_camera")
    assert (wanted.labels, wanted.name, wanted.raw) == (Path("rows.csv"), "set", True)
    assert settings.rerank.name == "rerank_k50_15_0.2"
    assert (settings.max_rank, settings.memory) == (5, 1_500_000_000)
    assert folder == Path("folder")


def test_written_record(features: Path, tmp_path: Path) -> None:
    run(str(features), "--out", str(tmp_path / "out"))
    result = Result.load(tmp_path / "out", "result")
    assert set(result.cards) == {"toy/market"}
    assert (tmp_path / "out" / "toy_market.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("bot", "--protocol", "market"), "--protocol with the run 'bot'; .* files of features"),
        (("bot", "--max-rank", "0"), "--max-rank with the run 'bot'"),
        (("bot", "--rerank-variant", "query_only"), "--rerank-variant with the run 'bot'"),
        (
            ("x.npz", "--no-rerank", "--rerank-variant", "query_only"),
            "variant query_only without re-ranking; expected the canonical score beside it",
        ),
        (("bot", "--raw"), "--raw with the run 'bot'"),
        (("bot", "idkl"), "'bot' and 1 more, which are no files; expected one run"),
        (("x.npz", "--rerank", "20.5", "6", "0.3"), "--rerank 20.5 6 0.3; expected whole"),
        (("x.npz", "--rerank", "0", "6", "0.3"), "k1 0, .* expected k1 and k2 of at least 1"),
        (("missing.npz",), "missing.npz: no such file"),
    ],
)
def test_refusals(arguments: tuple[str, ...], message: str, runs: list[str]) -> None:
    with pytest.raises(ReidError, match=message) as caught:
        run(*arguments)
    assert "\n" not in str(caught.value)
    assert runs == []


def test_unknown_protocol(features: Path) -> None:
    with pytest.raises(ParamsError, match=r"'markt' \(did you mean 'market'\?\)"):
        run(str(features), "--protocol", "markt")


@pytest.mark.parametrize(
    "arguments", [("--memory", "much"), ("--rerank", "20", "6"), ("--rerank", "1", "1", "x")]
)
def test_a_wrong_command_line(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        run("x.npz", *arguments)
    assert caught.value.code == 2
    assert arguments[0] in capsys.readouterr().err


def test_help_lists_every_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run("--help")
    said = capsys.readouterr().out
    for spellings in COLUMNS.values():
        assert ", ".join(spellings) in said


def test_nothing_heavy_is_imported_to_parse() -> None:
    heavy = ("numpy", "torch", "pandas", "yaml", "pydantic", "rich", "pyarrow")
    code = f"import sys, reid.cli_evaluate; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
