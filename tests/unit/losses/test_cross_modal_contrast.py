import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from reid.losses.cross_modal_contrast import cross_modal_contrast


def naive(features: Tensor, labels: list[int], modalities: list[int], across: bool) -> float:
    """Follow the definition image by image, in double precision, at a temperature of 0.2."""
    rows, losses = features.double(), []
    for i, label in enumerate(labels):
        rivals = [
            k for k in range(len(labels)) if k != i and (modalities[k] != modalities[i]) == across
        ]
        cosine = {k: float(torch.cosine_similarity(rows[i], rows[k], dim=0)) for k in rivals}
        whole = sum(math.exp(value / 0.2) for value in cosine.values())
        logs = [math.log(math.exp(cosine[k] / 0.2) / whole) for k in rivals if labels[k] == label]
        if logs:
            losses.append(-sum(logs) / len(logs))
    return sum(losses) / len(losses) if losses else 0.0


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1)), min_size=1, max_size=9),
    st.integers(0, 999),
)
def test_it_is_its_definition(images: list[tuple[int, int]], seed: int) -> None:
    labels, modalities = map(list, zip(*images, strict=True))
    features = torch.randn(len(images), 4, generator=torch.Generator().manual_seed(seed))
    found = cross_modal_contrast(features, torch.tensor(labels), torch.tensor(modalities), 0.2)
    for loss, across in zip(found, (True, False), strict=True):
        assert float(loss) == pytest.approx(naive(features, labels, modalities, across), abs=1e-5)


def test_it_draws_the_spectra_of_a_person_together() -> None:
    torch.manual_seed(0)
    labels, modalities = torch.arange(8) // 2 % 4, torch.arange(8) % 2
    features = torch.randn(8, 16, requires_grad=True)
    optimiser = torch.optim.Adam([features], 0.1)
    for _ in range(60):
        optimiser.zero_grad()
        across, _ = cross_modal_contrast(features, labels, modalities, 0.1)
        across.backward()
        optimiser.step()
    cosines = torch.cosine_similarity(features[0::2, None], features[None, 1::2], dim=2)
    assert cosines.diagonal().min() > 0.5
    assert cosines[~torch.eye(4, dtype=torch.bool)].max() < 0


def test_a_batch_of_one_modality_has_nothing_to_match() -> None:
    features = torch.randn(4, 3, requires_grad=True)
    labels, modalities = torch.tensor([0, 0, 1, 1]), torch.zeros(4)
    across, within = cross_modal_contrast(features, labels, modalities, 0.1)
    (across + within).backward()
    assert float(across.detach()) == 0
    assert float(within.detach()) > 0
    assert features.grad is not None
    assert features.grad.isfinite().all()
