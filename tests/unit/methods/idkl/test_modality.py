import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reid.errors import DataError
from reid.methods.idkl.modality import (
    ModalityClassifier,
    pair_spectra,
    rolled_labels,
    share_right,
)


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 5), st.integers(1, 4), st.booleans())
def test_the_kth_visible_image_goes_with_the_kth_infrared_one(
    people: int, images: int, blocks: bool
) -> None:
    """Whether the spectra of a person come in turns or one after the other."""
    order = [0] * images + [1] * images if blocks else [1, 0] * images
    labels = torch.arange(people).flip(0).repeat_interleave(2 * images)
    modalities = torch.tensor(order * people)
    visible, infrared, each = pair_spectra(labels, modalities)
    assert each == images
    assert (modalities[visible] == 0).all()
    assert (modalities[infrared] == 1).all()
    assert torch.equal(labels[visible], labels[infrared])
    assert sorted([*visible.tolist(), *infrared.tolist()]) == list(range(len(labels)))
    assert (visible.diff() > 0).all()
    assert (infrared.diff() > 0).all()


@pytest.mark.parametrize(
    ("labels", "modalities", "found"),
    [
        ([4, 4], [0, 0], "2 visible and 0 infrared images"),
        ([4, 4], [1, 1], "0 visible and 2 infrared images"),
        ([4, 4, 4], [0, 1, 1], "1 visible and 2 infrared images"),
        ([4, 4, 7, 9], [0, 1, 0, 1], "2 visible and 2 infrared images, person 7 beside person 9"),
        ([4, 7, 7, 4], [0, 0, 1, 1], "2 visible and 2 infrared images, person 4 beside person 7"),
        ([], [], "0 visible and 0 infrared images"),
    ],
)
def test_spectra_that_do_not_pair(labels: list[int], modalities: list[int], found: str) -> None:
    with pytest.raises(DataError) as caught:
        pair_spectra(torch.tensor(labels), torch.tensor(modalities))
    assert str(caught.value) == (
        f"a batch of {found}; expected as many of each spectrum, of the same people in the same "
        "order. Set `sampler.name: cross_modal`, and train on a dataset with both spectra."
    )


def test_rolled_labels_of_the_published_order() -> None:
    """Infrared, visible, ...: of either spectrum half of the labels are wrong."""
    modalities = torch.tensor([1, 0] * 4)
    rolled = rolled_labels(modalities)
    assert rolled.tolist() == [1, 0, 0, 1, 1, 0, 0, 1]
    for kind in (0, 1):
        assert (rolled[modalities == kind] == kind).float().mean() == 0.5


@pytest.mark.parametrize("size", [1, 2, 5, 6])
def test_rolled_labels_are_as_many(size: int) -> None:
    assert rolled_labels(torch.arange(size) % 2).shape == (size,)


@torch.no_grad()
def test_the_classifier_has_three_layers() -> None:
    torch.manual_seed(0)
    made = ModalityClassifier(6, 5).eval()
    for norm in (made.bn1, made.bn2):
        norm.running_mean.normal_()  # type: ignore[union-attr]
        norm.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
    features = torch.randn(4, 6)
    hidden = made.bn1(features @ made.fc1.weight.T + made.fc1.bias).clamp_min(0)
    hidden = made.bn2(hidden @ made.fc2.weight.T + made.fc2.bias).clamp_min(0)
    expected = hidden @ made.fc3.weight.T + made.fc3.bias
    torch.testing.assert_close(made(features), expected)
    assert not torch.equal(made.train()(features), made(features))  # by dropout


def test_share_right() -> None:
    logits = torch.tensor([[2.0, 1], [0, 1], [3, 1], [0, 4]], requires_grad=True)
    share = share_right(logits, torch.tensor([0, 0, 1, 1]))
    assert float(share) == 0.5
    assert not share.requires_grad
