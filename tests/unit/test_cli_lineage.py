import argparse
from pathlib import Path
from typing import Any

import pytest

from reid.cli_lineage import add_lineage_commands
from reid.stages import lineage, reproduce

Call = tuple[tuple[Any, ...], dict[str, Any]]


@pytest.mark.parametrize(
    ("words", "called"),
    [
        (["lineage", "bot"], (("bot",), {"as_json": False})),
        (["lineage", "a.b/3", "--json"], (("a.b/3",), {"as_json": True})),
        (["reproduce", "bot"], (("bot", None), {"check": False})),
        (
            ["reproduce", "a@champion", "--folder", "there", "--check"],
            (("a@champion", Path("there")), {"check": True}),
        ),
    ],
)
def test_every_option_arrives(
    monkeypatch: pytest.MonkeyPatch, words: list[str], called: Call
) -> None:
    calls: list[Call] = []
    for module, name in ((lineage, "show_lineage"), (reproduce, "reproduce")):
        monkeypatch.setattr(module, name, lambda *given, **named: calls.append((given, named)))
    parser = argparse.ArgumentParser()
    add_lineage_commands(parser.add_subparsers())
    options = parser.parse_args(words)
    options.command(options)
    assert calls == [called]
