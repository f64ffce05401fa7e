"""What a search gives first for each query."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from reid.retrieval.embeddings import Embeddings
from reid.retrieval.features import IntArray
from reid.retrieval.scoring import NearestLists, Scores


@dataclass(frozen=True, eq=False)
class FirstAnswers:
    """The nearest gallery image that counts for each query, in the first trial.

    Args:
        paths: Empty where there is none [Q].
        right: Whether it shows the query's person [Q].
    """

    paths: npt.NDArray[np.str_]
    right: npt.NDArray[np.bool_]


def first_answers(
    embeddings: Embeddings, rows: IntArray, scores: Scores, nearest: NearestLists
) -> FirstAnswers:
    """Look up the first answers to the queries of `scores`, in their order.

    Args:
        rows: Row of the embeddings of each row that was scored [N].
        scores: Of these rows.
        nearest: In rows of the embeddings.
    """
    first = np.full(len(embeddings.paths), -1, np.int64)
    first[nearest.query_rows] = nearest.gallery_rows[:, 0]
    queries = rows[scores.query_rows]
    answers = first[queries]
    persons = embeddings.person_ids
    return FirstAnswers(
        np.where(answers >= 0, embeddings.paths[answers], ""),
        (answers >= 0) & (persons[answers] == persons[queries]),
    )
