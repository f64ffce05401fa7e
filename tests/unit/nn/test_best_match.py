import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from reid.nn import best_match
from reid.nn.best_match import best_matches


def drawn(q: int, k: int, cells: int, width: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    source = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=source, dtype=torch.double).requires_grad_()

    prior = torch.rand(cells, cells, generator=source, dtype=torch.double) + 0.1
    return normal(q, cells, width), normal(k, cells, width), prior.requires_grad_()


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 5), st.integers(0, 1000))
def test_they_are_the_largest_of_all_similarities(q: int, k: int, cells: int, seed: int) -> None:
    queries, gallery, prior = drawn(q, k, cells, 3, seed)
    similarity = torch.einsum("kse,qte->qkst", gallery, queries) * prior
    of_query, of_gallery = best_matches(queries, gallery, prior)
    torch.testing.assert_close(of_query, similarity.amax(dim=2))
    torch.testing.assert_close(of_gallery, similarity.amax(dim=3))
    with torch.no_grad():
        assert torch.equal(best_matches(queries, gallery, prior)[0], of_query)


@pytest.mark.parametrize("numbers", [1, 200, 1 << 20])
def test_gradients_in_blocks_of_any_size(numbers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(best_match, "_NUMBERS", numbers)
    assert torch.autograd.gradcheck(best_matches, drawn(3, 4, 5, 2))


def test_one_set_of_maps_on_both_sides() -> None:
    maps, _, prior = drawn(3, 1, 4, 2)
    assert torch.autograd.gradcheck(lambda x, p: best_matches(x, x, p), (maps, prior))


def test_half_precision_keeps_its_types() -> None:
    queries, gallery, prior = (value.detach().float() for value in drawn(2, 3, 4, 8))
    halves = [value.bfloat16().requires_grad_() for value in (queries, gallery)]
    of_query, of_gallery = best_matches(halves[0], halves[1], prior.requires_grad_())
    assert of_query.dtype == torch.float32
    (of_query.sum() + of_gallery.sum()).backward()
    full = [value.clone().requires_grad_() for value in (queries, gallery)]
    of_query, of_gallery = best_matches(full[0], full[1], prior.detach())
    (of_query.sum() + of_gallery.sum()).backward()
    for half, whole in zip(halves, full, strict=True):
        assert half.grad is not None
        assert whole.grad is not None
        assert half.grad.dtype == torch.bfloat16
        torch.testing.assert_close(half.grad.float(), whole.grad, rtol=0.05, atol=0.2)
