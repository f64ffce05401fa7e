"""Commands run in this process, and what they said."""

import pytest

from reid.cli import main


class CommandLine:
    """Run `reid` commands in the current folder."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def fails(self, *arguments: str) -> tuple[int, str]:
        """Run a command that must fail; return its exit code and its only line."""
        code = main(arguments)
        lines = self._capsys.readouterr().err.strip().splitlines()
        errors = [line for line in lines if line.startswith("error: ")]
        assert len(errors) == 1, lines
        assert lines[-1] == errors[0]
        return code, errors[0]

    def works(self, *arguments: str) -> str:
        """Run a command that must work; return what it printed."""
        code = main(arguments)
        said = self._capsys.readouterr()
        assert code == 0, said.err
        return said.out
