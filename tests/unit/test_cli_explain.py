import argparse
from pathlib import Path

import pytest

from reid.cli_explain import add_explain_command
from reid.stages import explain as stage
from reid.stages.explain import Wanted


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[str, Wanted]:
    called: list[tuple[str, Wanted]] = []
    monkeypatch.setattr(stage, "explain", lambda *given: called.append(given))
    parser = argparse.ArgumentParser()
    add_explain_command(parser.add_subparsers())
    options = parser.parse_args(["explain", *arguments])
    options.command(options)
    return called[0]


def test_the_defaults_are_those_of_the_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, "transreid") == ("transreid", Wanted())


def test_every_option_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["m", "--dataset", "d", "--images", "12", "--parts", "8", "--out", "o", "--seed", "3"]
    assert run(monkeypatch, *words) == ("m", Wanted("d", 12, 8, 3, Path("o")))
