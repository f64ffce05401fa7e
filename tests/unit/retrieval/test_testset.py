import numpy as np
import pytest

from reid.errors import EvaluationError
from reid.retrieval.embeddings import Embeddings
from reid.retrieval.testset import TestSet


def test_rows_of_embeddings_in_the_given_order() -> None:
    embeddings = Embeddings(
        np.zeros((3, 2), np.float32),
        [4, 5, 6],
        [0, 1, 2],
        ["query", "gallery", "pool"],
        ["a", "b", "c"],
        modalities=["ir", "rgb", "ir"],
        draws=[[-1, 0], [1, 2], [3, -1]],
    )
    test = TestSet.of("toy", embeddings, np.array([2, 0]))
    assert (test.name, test.person_ids.tolist(), test.camera_ids.tolist()) == (
        "toy",
        [6, 4],
        [2, 0],
    )
    assert (test.roles.tolist(), test.modalities.tolist()) == (["pool", "query"], ["ir", "ir"])
    assert (test.paths.tolist(), test.draws.tolist()) == (["c", "a"], [[3, -1], [-1, 0]])


def test_columns_that_are_not_given() -> None:
    test = TestSet("toy", np.array([1, 2]), np.array([0, 0]), np.array(["query", "gallery"]))
    assert test.modalities.tolist() == ["rgb", "rgb"]
    assert (test.paths.tolist(), test.draws.shape) == (["", ""], (2, 0))


def test_columns_of_different_length() -> None:
    with pytest.raises(
        EvaluationError, match=r"toy: columns .*'camera_ids': 1.* one value for each"
    ):
        TestSet("toy", np.array([1, 2]), np.array([0]), np.array(["query", "gallery"]))
