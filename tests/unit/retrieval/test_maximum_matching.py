import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reid.errors import EvaluationError
from reid.retrieval import device_matching, maximum_matching
from reid.retrieval.maximum_matching import MaximumMatching
from reid.retrieval.pair_scorer import MatchingLayer, PairPrecision

Matrix = npt.NDArray[np.float32]
CONSTANT = 0.25


def make_layers(
    count: int, cells: int, hidden: int, seed: int = 0, symmetric: bool = False
) -> list[MatchingLayer]:
    draw = np.random.default_rng(seed)

    def normal(*shape: int) -> Matrix:
        return draw.standard_normal(shape).astype(np.float32)

    layers = []
    for _ in range(count):
        prior = 1 / (1 + np.exp(-normal(cells, cells)))
        if symmetric:
            prior = (prior + prior.T) / 2
        layers.append(
            MatchingLayer(prior, normal(hidden, cells), normal(hidden), normal(hidden) / 10)
        )
    return layers


def make_rows(count: int, length: int, seed: int) -> Matrix:
    return np.random.default_rng(seed).standard_normal((count, length)).astype(np.float32)


def looped(layers: list[MatchingLayer], width: int, queries: Matrix, gallery: Matrix) -> Matrix:
    """The definition, cell by cell in float64."""
    shape = (-1, len(layers), len(layers[0].prior), width)
    mine, others = (rows.reshape(shape).astype(np.float64) for rows in (queries, gallery))
    scores = np.full((len(mine), len(others)), CONSTANT)
    for q in range(len(mine)):
        for g in range(len(others)):
            for number, layer in enumerate(layers):
                weighed = others[g, number] @ mine[q, number].T * layer.prior
                for row in (weighed.max(axis=0), weighed.max(axis=1)):
                    hidden = np.maximum(layer.head_weight @ row + layer.head_bias, 0)
                    scores[q, g] += layer.output_weight @ hidden
    return scores


@settings(max_examples=15, deadline=None)
@given(
    st.integers(1, 3),
    st.integers(1, 20),
    st.integers(1, 9),
    st.integers(1, 12),
    st.integers(1, 5),
    st.integers(1, 40),
    st.integers(0, 99),
)
def test_scores_are_those_of_the_definition(
    count: int, cells: int, width: int, hidden: int, queries: int, gallery: int, seed: int
) -> None:
    layers = make_layers(count, cells, hidden, seed)
    scorer = MaximumMatching(layers, width, CONSTANT, symmetric=False)
    q, g = (make_rows(n, count * cells * width, seed + n) for n in (queries, gallery))
    expected = looped(layers, width, q, g)
    found = scorer.scores(q, g)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5 * np.abs(expected).max())


def test_cells_that_are_all_unlike_have_negative_maxima() -> None:
    layers = make_layers(1, 5, 4)
    scorer = MaximumMatching(layers, 3, CONSTANT, symmetric=False)
    q, g = np.abs(make_rows(2, 15, 0)), -np.abs(make_rows(3, 15, 1))
    np.testing.assert_allclose(scorer.scores(q, g), looped(layers, 3, q, g), rtol=1e-5)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 30), st.integers(1, 17), st.integers(1, 70), st.integers(0, 99))
def test_a_score_does_not_depend_on_the_other_rows(
    cells: int, width: int, gallery: int, seed: int
) -> None:
    scorer = MaximumMatching(make_layers(2, cells, 7, seed), width, CONSTANT, symmetric=False)
    q, g = (make_rows(n, 2 * cells * width, seed + n) for n in (9, gallery))
    whole = scorer.scores(q, g)
    draw = np.random.default_rng(seed)
    mine, others = draw.permutation(9)[:4], draw.permutation(gallery)[: gallery // 2 + 1]
    assert np.array_equal(scorer.scores(q[mine], g[others]), whole[np.ix_(mine, others)])
    # memory that may not be written, from an address that is no multiple of much
    shifted = np.empty(q.size + 1, np.float32)[1:].reshape(q.shape)
    shifted[:] = q
    shifted.flags.writeable = False
    assert np.array_equal(scorer.scores(shifted, g), whole)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_threads_change_no_bit(precision: PairPrecision) -> None:
    layers = make_layers(2, 20, 30)
    scorer = MaximumMatching(layers, 16, CONSTANT, symmetric=False, precision=precision)
    q, g = (make_rows(n, 640, n) for n in (33, 70))
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(scorer.scores(q, g))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])


@pytest.mark.parametrize("count", [1, 5, 33, 100])
def test_half_of_a_symmetric_square_gives_all(count: int) -> None:
    layers = make_layers(2, 12, 9, symmetric=True)
    scorer = MaximumMatching(layers, 8, CONSTANT, symmetric=True)
    rows = make_rows(count, 192, count)
    half, whole = scorer.scores(rows, rows), scorer.scores(rows, rows.copy())
    upper = np.triu_indices(count)
    assert np.array_equal(half[upper], whole[upper])
    assert np.array_equal(half, half.T)
    np.testing.assert_allclose(half, whole, rtol=1e-4, atol=1e-4)


def test_bf16_rounds_the_cells_alone() -> None:
    layers = make_layers(2, 12, 9)
    scorer = MaximumMatching(layers, 32, CONSTANT, symmetric=False, precision="bf16")
    q, g = (make_rows(n, 2 * 12 * 32, n) for n in (4, 6))
    rounded = [torch.from_numpy(rows).bfloat16().float().numpy() for rows in (q, g)]
    spread = looped(layers, 32, q, g).std()
    # similarities are rounded too where the CPU makes products in bfloat16
    tolerance = 1e-5 if maximum_matching.slow_bf16() else 0.1
    error = np.abs(scorer.scores(q, g) - looped(layers, 32, *rounded)).max()
    assert error < tolerance * spread
    assert np.abs(scorer.scores(q, g) - looped(layers, 32, q, g)).max() < 0.2 * spread


@pytest.mark.parametrize("bf16", [False, True])
def test_a_device_gives_the_scores_of_the_cpu(bf16: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    # several products
    monkeypatch.setattr(device_matching, "_TILE", 8 * 12**2 * 4 * 5)
    layers = make_layers(2, 12, 9)
    precision: PairPrecision = "bf16" if bf16 else "fp32"
    scorer = MaximumMatching(layers, 8, CONSTANT, symmetric=False, precision=precision)
    q, g = (make_rows(n, 192, n) for n in (11, 13))
    shaped = (rows.reshape(-1, *scorer.shape) for rows in (q, g))
    found = device_matching.device_scores(layers, *shaped, "cpu", bf16) + CONSTANT
    tolerance = 1e-4 if not bf16 or maximum_matching.slow_bf16() else 0.2
    np.testing.assert_allclose(found, scorer.scores(q, g), rtol=tolerance, atol=tolerance)


def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(EvaluationError, match="nosuch"):
        MaximumMatching(make_layers(1, 6, 4), 8, 0.0, symmetric=False, device="nosuch")


def test_rows_of_another_size_are_refused() -> None:
    scorer = MaximumMatching(make_layers(2, 6, 4), 8, 0.0, symmetric=False)
    with pytest.raises(EvaluationError) as error:
        scorer.scores(make_rows(2, 96, 0), make_rows(2, 95, 0))
    assert str(error.value) == (
        "rows of shape [2, 95] for a pair scorer; expected 96 numbers in a row (2 x 6 x 8). "
        "The size of the image is part of the weights: embed with this model, at its size."
    )


def test_layers_of_several_sizes_are_refused() -> None:
    layers = make_layers(1, 6, 4) + make_layers(1, 7, 4)
    with pytest.raises(EvaluationError, match="2 different shapes of matching layers; expected"):
        MaximumMatching(layers, 8, 0.0, symmetric=False)


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(EvaluationError, match="precision 'fp8' of a matching; expected one of fp3"):
        MaximumMatching(make_layers(1, 6, 4), 8, 0.0, symmetric=False, precision="fp8")  # type: ignore[arg-type]


def test_work_of_a_pair_at_the_published_size() -> None:
    scorer = MaximumMatching(make_layers(3, 192, 2048), 512, 0.0, symmetric=False)
    assert scorer.shape == (3, 192, 512)
    assert scorer.flops == pytest.approx(118e6, rel=0.01)
