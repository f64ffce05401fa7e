"""Student, teacher and centres are found in training files, whoever wrote them."""

from pathlib import Path

import pytest
import torch

from reid.errors import CheckpointError
from reid.nn.training_file import select_backbone, select_halves

FILE = Path("t.pth")
ONE, TWO = torch.ones(1), torch.full((1,), 2.0)


def test_the_teachers_backbone_is_selected() -> None:
    teacher = {"module.backbone.norm.bias": ONE, "module.head.mlp.0.bias": TWO}
    state, left = select_backbone({"student": {}, "teacher": teacher, "epoch": 3}, FILE)
    assert state == {"norm.bias": ONE}
    assert left == ["head.mlp.0.bias"]


@pytest.mark.parametrize("wrapper", ["model", "state_dict", "target_encoder"])
def test_plain_weights_are_selected_below_wrappers(wrapper: str) -> None:
    state, left = select_backbone({wrapper: {"module.norm.bias": ONE}}, FILE)
    assert (state, left) == ({"norm.bias": ONE}, [])


def test_a_student_alone_is_refused() -> None:
    with pytest.raises(CheckpointError, match=r"t\.pth: a training file with a student and no"):
        select_backbone({"student": {"norm.bias": ONE}, "epoch": 1}, FILE)


def test_a_teacher_without_backbone_is_refused() -> None:
    with pytest.raises(CheckpointError, match=r"a teacher of 1 tensors and none of them 'backbone"):
        select_backbone({"teacher": {"encoder.w": ONE}}, FILE)


@pytest.mark.parametrize("loss", ["ibot_loss", "dino_loss"])
def test_both_halves_and_the_centres_are_selected(loss: str) -> None:
    content = {
        "student": {"module.head.mlp.0.bias": ONE},
        "teacher": {"head.mlp.0.bias": TWO},
        loss: {"center": TWO},
    }
    halves = select_halves(content, FILE)
    assert halves == ({"head.mlp.0.bias": ONE}, {"head.mlp.0.bias": TWO}, {"center": TWO})


def test_one_half_is_no_pair() -> None:
    assert select_halves({"teacher": {"backbone.norm.bias": ONE}}, FILE) is None
    assert select_halves({"norm.bias": ONE}, FILE) is None


def test_a_half_holds_tensors_only() -> None:
    with pytest.raises(CheckpointError, match=r"t\.pth: 'epoch' is int; expected only tensors"):
        select_halves({"student": {"epoch": 3}, "teacher": {}}, FILE)
