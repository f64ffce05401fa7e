"""The words of the progress artifact, and what they are guessed from."""

import json
from pathlib import Path

import httpx
import pytest


def test_the_time_left_follows_from_the_last_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Prefect takes seconds to import, and only one of the processes that share the tests needs it
    from flows import progress
    from flows.summary import StageOutcome

    def nobody(*_: object, **__: object) -> None:
        raise httpx.ConnectError("no server")

    # a server that is away costs the artifact and nothing else
    monkeypatch.setattr(progress, "create_progress_artifact", nobody)
    names = ("data@city", "train@bot", "train@idkl", "compare")
    (tmp_path / progress.SECONDS).parent.mkdir(parents=True)
    first = progress.Progress(tmp_path, names, names[1:], at_once=2)
    assert first.text == "0 of 4 stages after 0:00 min"
    first.note(StageOutcome("data@city", "Cached", 0.0))
    first.note(StageOutcome("train@bot", "Completed", 100.0))
    first.note(StageOutcome("train@idkl", "Failed", 3.0, "why"))
    assert json.loads((tmp_path / progress.SECONDS).read_text()) == {"train@bot": 100.0}
    assert first.text == "3 of 4 stages after 0:00 min"  # of `compare` nothing is known
    first.note(StageOutcome("compare", "Completed", 20.0))
    assert first.text == "4 of 4 stages after 0:00 min"

    second = progress.Progress(tmp_path, names, names[1:], at_once=2)
    # idkl is guessed from the other training
    assert second.text == "0 of 4 stages after 0:00 min, about 1:50 min left"
