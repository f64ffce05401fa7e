import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from reid.losses.graph_alignment import (
    distances,
    distances_to_others,
    graph_alignment,
    half_of_each,
    paper_graph_alignment,
)

Rows = list[list[float]]
SIZES = st.tuples(st.integers(2, 7), st.integers(1, 5), st.integers(0, 999))


def features(rows: int, width: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(2, rows, width, generator=generator, dtype=torch.float64)
    return drawn[0], drawn[1]


def table(first: Tensor, second: Tensor, own: bool) -> Rows:
    """Distances row by row, with or without those of equal numbers."""
    return [
        [
            max(math.dist(one, other), 1e-3)
            for j, other in enumerate(second.tolist())
            if own or i != j
        ]
        for i, one in enumerate(first.tolist())
    ]


def divergence(first: Rows, second: Rows) -> float:
    total = 0.0
    for a, b in zip(first, second, strict=True):
        p, q = ([math.exp(x) / sum(map(math.exp, row)) for x in row] for row in (a, b))
        total += sum(x * math.log(x / y) for x, y in zip(p, q, strict=True))
    return total / len(first)


@settings(deadline=None, max_examples=30)
@given(SIZES)
def test_the_published_form_is_its_definition(sizes: tuple[int, int, int]) -> None:
    a, b = features(*sizes)
    rows = table(a, a, own=False), table(b, b, own=False)
    expected = divergence(*rows) + divergence(*rows[::-1])
    assert float(graph_alignment(a, b)) == pytest.approx(expected, abs=1e-6)
    assert distances_to_others(a).tolist() == [pytest.approx(row, abs=1e-6) for row in rows[0]]


@settings(deadline=None, max_examples=30)
@given(SIZES)
def test_the_form_of_the_paper_is_its_definition(sizes: tuple[int, int, int]) -> None:
    a, b = features(*sizes)
    aa, bb, ab = (table(x, y, own=True) for x, y in ((a, a), (b, b), (a, b)))
    expected = divergence(aa, bb) + divergence(aa, ab) + divergence(ab, bb)
    assert float(paper_graph_alignment(a, b)) == pytest.approx(expected, abs=1e-6)
    found = distances(a, b[1:])
    assert found.shape == (len(a), len(a) - 1)
    assert found.tolist() == [pytest.approx(row[1:], abs=1e-6) for row in ab]


def test_moved_sets_agree_in_the_published_form_alone() -> None:
    a, _ = features(5, 3, 0)
    assert float(graph_alignment(a, a + 2)) == pytest.approx(0, abs=1e-12)
    assert float(paper_graph_alignment(a, a + 2)) > 1e-3


def test_what_is_far_weighs_most() -> None:
    """The last of three on a line moves: only rows with a changed order of distances differ."""
    line, other = torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([[0.0], [1.0], [9.0]])
    share = distances_to_others(line).softmax(dim=1)
    assert share[0].tolist() == pytest.approx([1 / (1 + math.e**2), 1 / (1 + math.e**-2)])
    rows = table(line, line, own=False), table(other, other, own=False)
    assert float(graph_alignment(line, other)) == pytest.approx(
        divergence(*rows) + divergence(*rows[::-1]), rel=1e-4
    )


@pytest.mark.parametrize("rows", [4, 5])
def test_half_of_each(rows: int) -> None:
    a = torch.arange(rows)[:, None]
    expected = {4: [0, 1, 100, 101], 5: [0, 1, 2, 100, 101]}[rows]
    assert half_of_each(a, a + 100)[:, 0].tolist() == expected


def test_equal_features_have_finite_gradients() -> None:
    a = torch.zeros(4, 3, requires_grad=True)
    b = torch.randn(4, 3)
    (graph_alignment(a, b) + paper_graph_alignment(a, b)).backward()
    assert a.grad is not None
    assert a.grad.isfinite().all()
