"""An accelerator gives what the CPU gives, to single precision."""

import numpy as np
import pytest

from reid.retrieval.distance import distance_blocks
from reid.retrieval.features import FeatureRows
from reid.retrieval.neighbours import nearest_neighbours
from reid.retrieval.protocols import PROTOCOLS
from reid.retrieval.reranking import Reranker, RerankParams
from reid.retrieval.scoring import Scores, Source, score
from reid.retrieval.space import FeatureSpace
from reid.retrieval.testset import TestSet

pytestmark = pytest.mark.gpu

DEVICE = "cuda"
QUERIES, IMAGES, WIDTH = 700, 5000, 256
PERSONS = np.random.default_rng(0).integers(1, 200, IMAGES)


@pytest.fixture(scope="module")
def features() -> FeatureRows:
    generator = np.random.default_rng(1)
    centres = generator.normal(size=(200, WIDTH))
    noise = generator.normal(size=(IMAGES, WIDTH))
    return FeatureRows((centres[PERSONS] + 1.5 * noise).astype(np.float32), unit=True)


@pytest.fixture(scope="module")
def test_set() -> TestSet:
    roles = np.where(np.arange(IMAGES) < QUERIES, "query", "gallery")
    return TestSet("toy", PERSONS, np.random.default_rng(2).integers(0, 6, IMAGES), roles)


def test_distances(features: FeatureRows) -> None:
    query = features.subset(np.arange(QUERIES))
    gallery = features.subset(np.arange(QUERIES, IMAGES))
    rows = np.arange(IMAGES)
    device = FeatureSpace(features, DEVICE).blocks(rows[:QUERIES], rows[QUERIES:], 333)
    expected = np.concatenate(list(distance_blocks(query, gallery)))
    np.testing.assert_allclose(np.concatenate(list(device)), expected, rtol=0, atol=2e-6)


def test_block_size_changes_no_bit(features: FeatureRows) -> None:
    space, rows = FeatureSpace(features, DEVICE), np.arange(IMAGES)
    sides = rows[:QUERIES], rows[QUERIES:]
    made = [np.concatenate(list(space.blocks(*sides, size))) for size in (QUERIES, 97)]
    np.testing.assert_array_equal(*made)


def test_lists_differ_by_near_ties_only(features: FeatureRows) -> None:
    device = FeatureSpace(features, DEVICE).neighbours(21)
    exact = nearest_neighbours(features, 21)
    rows, places = np.nonzero(device.indices != exact.indices)
    held = features.take(slice(0, IMAGES)).astype(np.float64)
    found, expected = (
        ((held[rows] - held[near.indices[rows, places]]) ** 2).sum(axis=1)
        for near in (device, exact)
    )
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(device.distances, exact.distances, rtol=0, atol=2e-6)
    np.testing.assert_allclose(device.row_maximum, exact.row_maximum, rtol=0, atol=2e-6)


@pytest.mark.parametrize("reranked", [False, True])
def test_scores(features: FeatureRows, test_set: TestSet, reranked: bool) -> None:
    on_device, on_cpu = (
        _scores(FeatureSpace(features, device), test_set, reranked) for device in (DEVICE, "cpu")
    )
    assert on_device.figures() == pytest.approx(on_cpu.figures(), abs=1e-6)


def _scores(space: FeatureSpace, test: TestSet, reranked: bool) -> Scores:
    source: Source = Reranker(space, RerankParams()) if reranked else space
    return score(source, test, PROTOCOLS["market"])[0]
