import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reid.errors import EvaluationError, ParamsError
from reid.retrieval.tlift import Moments, TLiftParams, lifted

Matrix = npt.NDArray[np.float64]


def looped(scores: Matrix, query: Moments, gallery: Moments, params: TLiftParams) -> Matrix:
    """The definition, pair by pair."""
    out = np.empty(scores.shape)
    for q, g in np.ndindex(*scores.shape):
        companions = [
            other
            for other in range(len(scores))
            if query.camera_ids[other] == query.camera_ids[q]
            and abs(query.seconds[other] - query.seconds[q]) < params.tau
        ]
        same = np.flatnonzero(gallery.camera_ids == gallery.camera_ids[g])
        entries = sorted((scores[c, m] for c in companions for m in same), reverse=True)
        least = entries[params.count - 1] if len(entries) > params.count else entries[-1]
        weights = [
            np.exp(-((gallery.seconds[g] - gallery.seconds[m]) ** 2) / params.sigma**2)
            for c in companions
            for m in same
            if scores[c, m] >= least
        ]
        out[q, g] = (np.mean(weights) + params.alpha) * scores[q, g]
    return out


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 9), st.integers(1, 15), st.integers(1, 4), st.integers(1, 20), st.integers(0, 99)
)
def test_lifting_is_that_of_the_definition(
    queries: int, images: int, cameras: int, count: int, seed: int
) -> None:
    draw = np.random.default_rng(seed)

    def moments(size: int) -> Moments:
        # whole seconds, so that times are equal and gaps equal tau
        seconds = draw.integers(0, 12, size).astype(float)
        return Moments(draw.integers(0, cameras, size), seconds)

    query, gallery = moments(queries), moments(images)
    # few values, so that scores tie
    scores = draw.integers(0, 8, (queries, images)) / 8
    params = TLiftParams(tau=3, sigma=4, count=count, alpha=0.1)
    expected = looped(scores, query, gallery, params)
    np.testing.assert_allclose(lifted(scores, query, gallery, params), expected, atol=1e-12)


def test_an_image_that_passes_with_the_match_of_a_companion_is_raised() -> None:
    query = Moments(np.array([0, 0]), np.array([10.0, 20.0]))
    gallery = Moments(np.array([1, 1, 1]), np.array([500.0, 510.0, 9000.0]))
    # the second query has a sure match; the first may be one of two images
    scores = np.array([[0.5, 0.1, 0.5], [0.1, 0.9, 0.1]])
    out = lifted(scores, query, gallery, TLiftParams(count=1))
    assert out[0, 0] == pytest.approx(0.5 * (0.2 + np.exp(-((10 / 200) ** 2))))
    assert out[0, 2] == pytest.approx(0.5 * 0.2)


def test_a_camera_without_gallery_images_gives_no_weight() -> None:
    query = Moments(np.array([0, 7]), np.array([0.0, 0.0]))
    gallery = Moments(np.array([0]), np.array([0.0]))
    out = lifted(np.array([[0.5], [0.4]]), query, gallery)
    np.testing.assert_allclose(out, [[0.6], [0.48]])


def test_images_without_a_time_are_refused() -> None:
    with pytest.raises(EvaluationError) as error:
        Moments(np.array([0, 1, 2]), np.array([0.0, np.nan, 1.0]))
    assert str(error.value) == (
        "1 of 3 images without a time; expected a timestamp for each image. "
        "Leave temporal lifting out for this data set."
    )


@pytest.mark.parametrize("wrong", [{"tau": 0}, {"sigma": -1}, {"count": 0}, {"alpha": -0.1}])
def test_parameters_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ParamsError, match="tau, sigma and count above 0, alpha at least 0"):
        TLiftParams(**wrong)  # type: ignore[arg-type]


def test_the_name_tells_all_parameters() -> None:
    assert TLiftParams().name == "tlift_t100_s200_k10_0.2"
