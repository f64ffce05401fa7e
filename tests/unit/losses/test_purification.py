import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from reid.losses.purification import certainty_loss, discrepancy_loss, entropy, spectra_apart

FORMS = ("code", "paper")
# of every person how many visible and infrared images
PEOPLE = st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3)), min_size=1, max_size=4)


def naive_entropy(row: list[float]) -> float:
    total = sum(map(math.exp, row))
    return -sum(math.exp(x) / total * math.log(math.exp(x) / total) for x in row)


def judged(grown: list[float], form: str) -> float:
    """Mean of what a form makes of growths, for discrepancies."""
    if form == "code":
        return sum(max(0.0, x) for x in grown) / len(grown)
    return sum(math.log1p(math.exp(x)) for x in grown) / len(grown)


def naive_apart(features: Tensor, labels: list[int], infrared: list[bool]) -> list[float]:
    found = []
    for person in sorted(set(labels)):
        means = []
        for spectrum in (False, True):
            mine = [
                row
                for row, label, kind in zip(features.tolist(), labels, infrared, strict=True)
                if (label, kind) == (person, spectrum)
            ]
            means.append([sum(column) / len(mine) for column in zip(*mine, strict=True)])
        found.append(math.hypot(*(a - b + 1e-6 for a, b in zip(*means, strict=True))))
    return found


def rows(people: list[tuple[int, int]], seed: int) -> tuple[list[int], list[bool]]:
    """Labels with gaps, and spectra, in an order that mixes both."""
    listed = [
        (3 * person + 1, spectrum)
        for person, counts in enumerate(people)
        for spectrum, count in zip((False, True), counts, strict=True)
        for _ in range(count)
    ]
    order = torch.randperm(len(listed), generator=torch.Generator().manual_seed(seed)).tolist()
    return [listed[i][0] for i in order], [listed[i][1] for i in order]


def drawn(count: int, width: int, seed: int) -> Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed)).double()


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 5), st.integers(2, 5), st.integers(0, 999))
def test_certainty_is_its_definition(size: int, classes: int, seed: int) -> None:
    raw, enhanced = drawn(size, classes, seed), 2 * drawn(size, classes, seed + 1)
    before, after = ([naive_entropy(row) for row in side.tolist()] for side in (raw, enhanced))
    assert entropy(raw).tolist() == pytest.approx(before)
    grown = [b - a for a, b in zip(before, after, strict=True)]
    expected = sum(math.exp(max(0.0, x)) - 1 for x in grown) / size
    assert float(certainty_loss(raw, enhanced, "code")) == pytest.approx(expected, abs=1e-9)
    expected = judged(grown, "paper")
    assert float(certainty_loss(raw, enhanced, "paper")) == pytest.approx(expected)


@settings(deadline=None, max_examples=25)
@given(PEOPLE, st.integers(0, 999))
def test_discrepancy_is_its_definition(people: list[tuple[int, int]], seed: int) -> None:
    labels, spectra = rows(people, seed)
    normed, reduced = (drawn(len(labels), 3, seed + k) for k in (1, 2))
    given_labels, infrared = torch.tensor(labels), torch.tensor(spectra)
    apart = [naive_apart(side, labels, spectra) for side in (normed, reduced)]
    assert spectra_apart(normed, given_labels, infrared).tolist() == pytest.approx(
        apart[0], rel=1e-5
    )
    grown = [b - a for a, b in zip(*apart, strict=True)]
    for form in FORMS:
        found = discrepancy_loss(normed, reduced, given_labels, infrared, form)  # type: ignore[arg-type]
        assert float(found) == pytest.approx(judged(grown, form), abs=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_better_features_cost_less(form: str) -> None:
    doubtful, sure = torch.zeros(2, 3), torch.tensor([[9.0, 0, 0], [0, 9.0, 0]])
    good = certainty_loss(doubtful, sure, form)  # type: ignore[arg-type]
    bad = certainty_loss(sure, doubtful, form)  # type: ignore[arg-type]
    assert float(good) < float(bad)
    assert (float(good) == 0) == (form == "code")
    labels, infrared = torch.tensor([5, 5]), torch.tensor([False, True])
    far, near = torch.tensor([[0.0], [4.0]]), torch.tensor([[0.0], [1.0]])
    good = discrepancy_loss(far, near, labels, infrared, form)  # type: ignore[arg-type]
    bad = discrepancy_loss(near, far, labels, infrared, form)  # type: ignore[arg-type]
    assert float(good) < float(bad)
    assert (float(good) == 0) == (form == "code")


def test_sure_logits_and_equal_features_have_finite_gradients() -> None:
    logits = torch.tensor([[800.0, 0.0, 0.0]], requires_grad=True)
    features = torch.zeros(2, 3, requires_grad=True)
    labels, infrared = torch.tensor([0, 0]), torch.tensor([True, False])
    loss = certainty_loss(torch.zeros(1, 3), logits, "paper")
    loss = loss + discrepancy_loss(features + 0, features, labels, infrared, "paper")
    loss.backward()
    for leaf in (logits, features):
        assert leaf.grad is not None
        assert leaf.grad.isfinite().all()
