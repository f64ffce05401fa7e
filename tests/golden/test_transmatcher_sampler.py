"""Batches of the graph sampler against those of the code of TransMatcher.

The pack says what stands for each shuffle; a stand-in that is not known here fails.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from reid.data.samplers.graph import ImageCycles, graph_batches, nearest_classes

ROOT = Path(os.environ.get("REID_GOLDEN", Path(__file__).parent / "packs"))
SHUFFLES = {"identity": lambda images: None, "reverse": list.reverse}


@dataclass(frozen=True)
class Pack:
    facts: dict[str, Any]
    distances: np.ndarray

    @property
    def members(self) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for index, (_, label) in enumerate(self.facts["items"]):
            found.setdefault(label, []).append(index)
        return found


def _facts(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def _paths() -> list[Path]:
    return [path for path in sorted(ROOT.glob("*/pack.json")) if "graph_sampler" in _facts(path)]


@pytest.fixture(params=_paths(), ids=lambda path: path.parent.name)
def pack(request: pytest.FixtureRequest) -> Pack:
    tensors = load_file(request.param.with_name("tensors.safetensors"))
    return Pack(_facts(request.param)["graph_sampler"], tensors["gs.distance"])


def test_packs_are_there() -> None:
    assert _paths()


def test_every_epoch_has_the_published_batches(pack: Pack) -> None:
    assert pack.facts["hooks"]
    members, images = pack.members, pack.facts["num_instance"]
    classes = np.arange(len(members))
    count = pack.facts["batch_size"] // images - 1
    for hook, expected in pack.facts["hooks"].items():
        assert list(members) == expected["class_order"]
        cycles = ImageCycles(list(members.values()), SHUFFLES[hook])
        epochs = zip(
            expected["epochs_flat_indices"], expected["representatives_per_epoch"], strict=True
        )
        for indices, names in epochs:
            chosen = [pack.facts["items"][images[0]][0] for images in cycles.images]
            assert chosen == names
            neighbours = nearest_classes(pack.distances, classes, count)
            batches = graph_batches(cycles, classes, neighbours, images, SHUFFLES[hook])
            assert [index for batch in batches for index in batch] == indices
