"""Images in, embeddings or scores of pairs out: what a registered model does, the local one too."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image

from reid.data.images import TEST_RESAMPLING, Batch, read_image
from reid.data.storage.folder import FolderStorage
from reid.errors import DataError
from reid.methods.embedding import best_device, embed_parts
from reid.methods.model_directory import LoadedModel
from reid.retrieval.distance import normalise
from reid.retrieval.features import FloatArray
from reid.retrieval.pair_scorer import PairScorer

PATH_COLUMN = "path"
PAIR_COLUMNS = ["query", "gallery"]


def predict(model: LoadedModel, given: Any) -> FloatArray:
    """Score the pairs of a data frame with the columns `query` and `gallery`, or embed images.

    Args:
        given: What `score_input` takes if the model scores pairs, else what `embed_input` takes.

    Raises:
        DataError: The input is something else, or a file cannot be decoded.
    """
    scorer = model.network.scorer()
    asks_for_scores = isinstance(given, pd.DataFrame) and PATH_COLUMN not in given.columns
    if scorer is None or not asks_for_scores:
        return embed_input(model, given)
    return score_input(model, scorer, given)


def score_input(model: LoadedModel, scorer: PairScorer, pairs: pd.DataFrame) -> FloatArray:
    """Score pairs of image files.

    Args:
        scorer: The model's.
        pairs: The columns `query` and `gallery` name image files.

    Returns:
        [N], a score of each row of the frame; larger means more alike.

    Raises:
        DataError: A column is missing, or a file cannot be decoded.
    """
    if not set(PAIR_COLUMNS) <= set(pairs.columns) or pairs.empty:
        raise DataError(
            _frame_facts(pairs),
            f"image files in columns '{PAIR_COLUMNS[0]}' and '{PAIR_COLUMNS[1]}' for scores, or in "
            f"a column '{PATH_COLUMN}' for what the scorer compares",
            "Rename the columns.",
        )
    files = pairs[PAIR_COLUMNS].astype(str)
    size = model.recipe.embed_batch  # what is kept of an image may be a megabyte
    blocks = (files.iloc[start : start + size] for start in range(0, len(files), size))
    return np.concatenate([_score_block(model, scorer, block) for block in blocks])


def _score_block(model: LoadedModel, scorer: PairScorer, files: pd.DataFrame) -> FloatArray:
    """Score some pairs, whose images are embedded once each."""
    places, names = pd.factorize(files.to_numpy().ravel())
    rows = embed_input(model, pd.DataFrame({PATH_COLUMN: names}))
    queries, gallery = places.reshape(-1, 2).T
    scores = np.empty(len(files), np.float32)
    for query in np.unique(queries):
        asked = queries == query
        scores[asked] = scorer.scores(rows[query][None], rows[gallery[asked]])[0]
    return scores


def embed_input(model: LoadedModel, images: Any) -> FloatArray:
    """Embed images as the embed stage does, with unknown camera and view.

    Args:
        images: Pixels [N, H, W, 3] of whole numbers 0 to 255, of any size; or a data frame whose
            column `path` names image files.

    Returns:
        [N, D], every row of Euclidean length 1; of a model that scores pairs, what its scorer
        compares, as it is.

    Raises:
        DataError: The input is something else, or a file cannot be decoded.
    """
    items = _file_names(images) if isinstance(images, pd.DataFrame) else _pixels(images)
    network = model.network.to(best_device()).eval()
    rows = embed_parts(network, model.recipe, _parts(model, items), len(items))
    return normalise(rows) if network.scorer() is None else rows


def _parts(model: LoadedModel, items: list[str] | NDArray[np.uint8]) -> Iterator[Batch]:
    """Yield resized images, at most one forward pass of them at a time."""
    size = model.recipe.image
    files = FolderStorage(Path())  # relative names are those of the process; absolute ones stay
    for start in range(0, len(items), model.recipe.embed_batch):
        block = items[start : start + model.recipe.embed_batch]
        resized = [
            read_image(files, item, size.height, size.width, TEST_RESAMPLING)
            if isinstance(item, str)
            else np.asarray(
                Image.fromarray(item).resize((size.width, size.height), TEST_RESAMPLING)
            )
            for item in block
        ]
        yield _raw_batch(resized)


def _file_names(frame: pd.DataFrame) -> list[str]:
    if PATH_COLUMN not in frame.columns or frame.empty:
        raise DataError(
            _frame_facts(frame),
            f"image files in a column '{PATH_COLUMN}'",
            "Rename the column.",
        )
    return [str(path) for path in frame[PATH_COLUMN]]


def _frame_facts(frame: pd.DataFrame) -> str:
    return f"a data frame of {len(frame)} rows with columns {', '.join(map(str, frame.columns))}"


def _pixels(images: Any) -> NDArray[np.uint8]:
    pixels = np.asarray(images)
    shaped = pixels.ndim == 4 and pixels.shape[-1] == 3 and pixels.size > 0
    if not shaped or pixels.dtype.kind not in "iu" or pixels.min() < 0 or pixels.max() > 255:
        raise DataError(
            f"an array of shape {list(pixels.shape)} and type {pixels.dtype}",
            "[N, H, W, 3] whole numbers from 0 to 255",
            "Pass RGB pixels as they come from the decoder, or a data frame of paths.",
        )
    return pixels.astype(np.uint8)


def _raw_batch(images: list[NDArray[np.uint8]]) -> Batch:
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
    unknown = torch.full((len(images),), -1, dtype=torch.int64)
    return Batch(pixels, unknown, unknown, unknown, torch.zeros_like(unknown))
