"""Images in, normalised embeddings out: what a registered model does, and the local one too."""

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
from reid.methods.embedding import best_device, embed_batch
from reid.methods.model_directory import LoadedModel
from reid.retrieval.distance import normalise

PATH_COLUMN = "path"


def embed_input(model: LoadedModel, images: Any) -> NDArray[np.float32]:
    """Embed images as the embed stage does, with unknown camera and view.

    Args:
        images: Pixels [N, H, W, 3] of whole numbers 0 to 255, of any size; or a data frame whose
            column `path` names image files.

    Returns:
        [N, D], every row of Euclidean length 1.

    Raises:
        DataError: The input is something else, or a file cannot be decoded.
    """
    network = model.network.to(best_device()).eval()
    blocks = [
        embed_batch(network, model.recipe, _raw_batch(block)) for block in _blocks(model, images)
    ]
    return normalise(np.concatenate(blocks))


def _blocks(model: LoadedModel, images: Any) -> Iterator[list[NDArray[np.uint8]]]:
    """Yield resized images [height, width, 3], at most one forward pass of them at a time."""
    size = model.recipe.image
    files = FolderStorage(Path())  # relative names are those of the process; absolute ones stay
    items = _file_names(images) if isinstance(images, pd.DataFrame) else _pixels(images)
    for start in range(0, len(items), model.recipe.embed_batch):
        block = items[start : start + model.recipe.embed_batch]
        yield [
            read_image(files, item, size.height, size.width, TEST_RESAMPLING)
            if isinstance(item, str)
            else np.asarray(
                Image.fromarray(item).resize((size.width, size.height), TEST_RESAMPLING)
            )
            for item in block
        ]


def _file_names(frame: pd.DataFrame) -> list[str]:
    if PATH_COLUMN not in frame.columns or frame.empty:
        raise DataError(
            f"a data frame of {len(frame)} rows with columns {', '.join(map(str, frame.columns))}",
            f"image files in a column '{PATH_COLUMN}'",
            "Rename the column.",
        )
    return [str(path) for path in frame[PATH_COLUMN]]


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
    batch = Batch(pixels, unknown, unknown, unknown, torch.zeros_like(unknown))
    return Batch(*(part.to(best_device()) for part in batch))
