from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from reid.nn.backbone_file import BackboneFacts, read_facts, save_backbone

FACTS = BackboneFacts(grid=(16, 8), image_size=(256, 128), mean=(0.1, 0.2, 0.3), std=(1, 1, 1))


def test_facts_travel_with_the_weights(tmp_path: Path) -> None:
    path = tmp_path / "b.safetensors"
    save_backbone(path, {"w": torch.ones(2, 3).T}, FACTS)
    assert read_facts(path) == FACTS
    assert torch.equal(load_file(path)["w"], torch.ones(3, 2))


def test_other_files_have_none(tmp_path: Path) -> None:
    save_file({"w": torch.ones(1)}, tmp_path / "w.safetensors")
    torch.save({"w": torch.ones(1)}, tmp_path / "w.pth")
    assert read_facts(tmp_path / "w.safetensors") is None
    assert read_facts(tmp_path / "w.pth") is None
    assert read_facts(tmp_path / "nowhere.safetensors") is None
