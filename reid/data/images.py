"""Images from disk to uint8 tensors of one size, decoded once where memory allows."""

import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from reid.data.manifest import Manifest
from reid.data.storage import Storage
from reid.errors import DataError

# The published pipelines resize training images bicubically and test images bilinearly.
TRAIN_RESAMPLING = Image.Resampling.BICUBIC
TEST_RESAMPLING = Image.Resampling.BILINEAR

PRELOAD_BYTES = 2 << 30
_DECODERS = 4


class Batch(NamedTuple):
    """Images of one size and what the manifest says of them; all share the first dimension B.

    Attributes:
        images: [B, 3, H, W]: uint8 as decoded, float once normalised.
        labels: [B] int64, -1 outside training.
        cameras: [B] int64 rank among the training cameras, -1 for an unseen one.
        views: [B] int64, -1 if unknown.
        modalities: [B] int64, 0 RGB and 1 infrared.
    """

    images: Tensor
    labels: Tensor
    cameras: Tensor
    views: Tensor
    modalities: Tensor


class ImageFacts(NamedTuple):
    """Per-image facts for a `Batch`, each [N] int64."""

    labels: Tensor
    cameras: Tensor
    views: Tensor
    modalities: Tensor


def read_image(
    storage: Storage, path: str, height: int, width: int, resampling: Image.Resampling
) -> NDArray[np.uint8]:
    """Decode an image to RGB and resize it to [height, width, 3].

    Raises:
        DataError: The file is missing or cannot be decoded.
    """
    try:
        with Image.open(io.BytesIO(storage.read(path))) as image:
            return np.array(image.convert("RGB").resize((width, height), resampling))
    except (OSError, SyntaxError, ValueError) as error:
        reason = str(error).partition(" <")[0]  # Pillow names the buffer that it reads from
        raise DataError(
            f"{storage.root}/{path}: cannot be decoded ({reason})",
            "a readable image",
            "Restore the file, then build and validate the dataset again.",
        ) from None


def image_facts(manifest: Manifest, rows: NDArray[np.int64], cameras: Sequence[int]) -> ImageFacts:
    """Collect what batches need to know of the given manifest rows.

    Args:
        rows: Row numbers.
        cameras: Camera ids of the training set in label order; others become -1.
    """
    frame = manifest.frame.iloc[rows]
    rank = {camera: label for label, camera in enumerate(cameras)}
    labels = frame["label"].fillna(-1).to_numpy(np.int64)
    ranks = np.array([rank.get(int(c), -1) for c in frame["camid"].fillna(-1)], np.int64)
    views = frame["viewid"].to_numpy(np.int64)
    modalities = (frame["modality"].astype(str) == "ir").to_numpy(np.int64)
    return ImageFacts(*(torch.from_numpy(a) for a in (labels, ranks, views, modalities)))


class ImageTable(Dataset[Batch]):
    """A map-style dataset that hands out whole batches.

    All images are decoded in advance, in threads, when they fit into `PRELOAD_BYTES`; otherwise
    each is decoded when asked for, in the loader's workers.

    Args:
        storage: Where the images lie.
        paths: Their paths in it.
        facts: What the manifest says of them, in the same order.
        height: Rows of the resized image.
        width: Columns of the resized image.
        resampling: Filter of the resize.
    """

    def __init__(
        self,
        storage: Storage,
        paths: Sequence[str],
        facts: ImageFacts,
        height: int,
        width: int,
        resampling: Image.Resampling,
    ) -> None:
        self._storage, self._paths, self._facts = storage, list(paths), facts
        self._size = (height, width)
        self._resampling = resampling
        self.preloaded = len(paths) * height * width * 3 <= PRELOAD_BYTES
        self._images = self._decode(range(len(paths))) if self.preloaded else None

    @property
    def modalities(self) -> list[int]:
        """Of every image 0 for RGB and 1 for infrared."""
        return list(self._facts.modalities.tolist())

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> Batch:
        return self.__getitems__([index])

    def __getitems__(self, indices: list[int]) -> Batch:
        chosen = torch.as_tensor(indices, dtype=torch.int64)
        images = self._decode(indices) if self._images is None else self._images[chosen]
        return Batch(images, *(fact[chosen] for fact in self._facts))

    def _decode(self, indices: Sequence[int]) -> Tensor:
        batch = torch.empty(len(indices), 3, *self._size, dtype=torch.uint8)

        def fill(slot: int) -> None:
            path = self._paths[indices[slot]]
            image = read_image(self._storage, path, *self._size, self._resampling)
            batch[slot] = torch.from_numpy(image).permute(2, 0, 1)

        with ThreadPoolExecutor(_DECODERS) as pool:
            for _ in pool.map(fill, range(len(indices))):
                pass
        return batch


def keep_batch(batch: Any) -> Batch:
    """Collate for loaders over an `ImageTable`, which hands out whole batches already."""
    return Batch(*batch)
