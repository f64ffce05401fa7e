"""Batches of the graph sampler against those of the code of TransMatcher.

The pack says what stands for each shuffle; a stand-in that is not known here fails.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from reid.data.samplers.graph import ImageCycles, graph_batches, nearest_classes

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


@pytest.fixture(scope="module")
def pack(golden_root: Path) -> Pack:
    folder = golden_root / "transmatcher"
    facts = json.loads((folder / "pack.json").read_text(encoding="utf-8"))["graph_sampler"]
    return Pack(facts, load_file(folder / "tensors.safetensors")["gs.distance"])


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
