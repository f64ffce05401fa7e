"""Batches of the cross-modal sampler against those of the published code of IDKL.

The pack says in words what stands for each draw; words that are not known here fail, and so does
an entry that is not.
"""

import json
import os
import re
from itertools import chain, cycle, islice
from pathlib import Path
from typing import Any

import pytest

from reid.data.samplers.cross_modal import (
    CrossModalBatchSampler,
    Draws,
    cross_modal_batches,
    people_in_both,
)

ROOT = Path(os.environ.get("REID_GOLDEN", Path(__file__).parent / "packs"))
INFRARED_CAMERAS = (3, 6)
ENTRIES = {"ids", "cams", "batch", "k", "length_estimate_before_first_epoch", "sequence", "how"}
CHOICES = {"takes the first n cyclically": lambda numbers, n: list(islice(cycle(numbers), n))}
SHUFFLES = {"leaves order": lambda numbers: None, "reverses order": list.reverse}
ORDERS = {"first infrared appearance"}


def _facts(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def _is_ours(facts: dict[str, Any]) -> bool:
    return "cams" in facts.get("sampler", {})


def _paths() -> list[Path]:
    return [path for path in sorted(ROOT.glob("*/pack.json")) if _is_ours(_facts(path))]


@pytest.fixture(params=_paths(), ids=lambda path: path.parent.name)
def facts(request: pytest.FixtureRequest) -> dict[str, Any]:
    found = _facts(request.param)["sampler"]
    assert set(found) == ENTRIES
    return found


def _modalities(facts: dict[str, Any]) -> list[int]:
    return [int(camera in INFRARED_CAMERAS) for camera in facts["cams"]]


def _draws(how: str) -> Draws:
    told = re.fullmatch(
        r"random hooks replaced: choice\(list,n\) (.+), shuffle (.+); identities in order of (.+)",
        how,
    )
    assert told, how
    choice, shuffle, order = told.groups()
    assert order in ORDERS
    return Draws(CHOICES[choice], CHOICES[choice], SHUFFLES[shuffle])


def test_packs_are_there() -> None:
    assert _paths()


def test_an_epoch_has_the_published_batches(facts: dict[str, Any]) -> None:
    people = people_in_both(facts["ids"], _modalities(facts))
    size = (facts["batch"] // facts["k"], facts["k"])
    batches = cross_modal_batches(people, *size, _draws(facts["how"]))
    assert list(chain.from_iterable(batches)) == facts["sequence"]


def test_the_estimate_of_an_epoch_is_the_published_one(facts: dict[str, Any]) -> None:
    size = (facts["batch"] // facts["k"], facts["k"])
    sampler = CrossModalBatchSampler(facts["ids"], _modalities(facts), *size, seed=0)
    assert sampler.reported_length == facts["length_estimate_before_first_epoch"]
    # drawn, an epoch has batches of the same form
    for batch in sampler:
        assert len(batch) == facts["batch"]
        assert [facts["cams"][i] in INFRARED_CAMERAS for i in batch[:2]] == [True, False]
