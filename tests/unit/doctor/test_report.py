"""The examination as a whole, with probes that are not those of this machine."""

import json
import sys
from types import SimpleNamespace

import pytest
from rich.console import Console

from reid.cli import main
from reid.doctor import report
from reid.doctor.finding import Finding

GOOD = Finding("machine", "torch", "works", "2.9, 4 threads", figures={"threads": 4})
SPARE = Finding("packages", "mamba-ssm", "absent", "not installed", "Install [it].")
BAD = Finding("packages", "faiss", "broken", "not installed", "Run it.")


def look_at(monkeypatch: pytest.MonkeyPatch, *findings: Finding) -> None:
    module = SimpleNamespace(findings=lambda: list(findings))
    monkeypatch.setitem(sys.modules, "some_probes", module)  # type: ignore[arg-type]
    monkeypatch.setattr(report, "PARTS", {"all": "some_probes"})


def test_all_is_well_without_the_optional_parts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    look_at(monkeypatch, GOOD, SPARE)
    assert main(["doctor"]) == 0
    printed = capsys.readouterr()
    assert [line.split() for line in printed.out.splitlines() if "torch" in line] == [
        ["torch", "yes", "2.9,", "4", "threads"]
    ]
    assert "Install [it]." in printed.out  # no markup
    assert printed.err == ""


def test_a_broken_part_has_an_exit_code_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    look_at(monkeypatch, GOOD, BAD)
    assert main(["doctor"]) == 10
    assert capsys.readouterr().err == (
        "error: broken here: packages faiss; expected all of it to work. "
        "Follow the remedies that `reid doctor` lists.\n"
    )


def test_probes_that_do_not_even_import_are_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(report, "PARTS", {"trials": "reid.doctor.no_such_module"})
    assert main(["doctor"]) == 10
    printed = capsys.readouterr()
    assert "No module named 'reid.doctor.no_such_module'" in printed.out
    assert printed.err.startswith("error: broken here: trials all of it;")


def test_json_is_all_that_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    look_at(monkeypatch, GOOD, BAD)
    assert main(["doctor", "--json"]) == 10
    record = json.loads(capsys.readouterr().out)
    assert record["works"] is False
    assert record["findings"][0] == {
        "group": "machine",
        "name": "torch",
        "state": "works",
        "text": "2.9, 4 threads",
        "remedy": "",
        "figures": {"threads": 4},
    }


def test_a_narrow_terminal_cuts_nothing_off() -> None:
    console = Console(width=50)
    with console.capture() as capture:
        console.print(report.table_of([GOOD, SPARE, BAD]))
    words = capture.get().split()
    assert {"torch", "mamba-ssm", "faiss", "BROKEN", "[it]."} <= set(words)
