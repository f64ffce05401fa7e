"""What a transformer looks at: attention, parts and correspondences of patches."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from torch import nn

from reid.data.images import Batch
from reid.data.transforms import normalise
from reid.errors import ParamsError
from reid.methods.embedding import best_device
from reid.recipe import ImageRecipe

if TYPE_CHECKING:  # the blocks behind it bring timm, which takes seconds
    from reid.nn.patch_view import PatchView

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]

_BATCH = 32
_ROUNDS = 50  # of k-means, at most
_RESTARTS = 5


@runtime_checkable
class PatchNetwork(Protocol):
    """A network whose patches can be looked at."""

    def view_patches(self, batch: Batch) -> "PatchView":
        """Show what the last block makes of the patches."""


@dataclass(frozen=True)
class PatchModel:
    """A network in evaluation mode, and how it wants its images.

    Args:
        view: How to look at the patches of a batch; runs `network`.
    """

    network: nn.Module
    view: Callable[[Batch], "PatchView"]
    image: ImageRecipe


class SeenPatches(NamedTuple):
    """The patches of M images on their grid of h × w.

    Attributes:
        attention: [M, heads, h, w], the class token's attention to each patch.
        tokens: [M, h, w, D], each of length 1.
    """

    attention: FloatArray
    tokens: FloatArray


class Matches(NamedTuple):
    """Patches of two images that are each other's nearest, the strongest match first.

    Attributes:
        first, second: [K, 2], row and column of the patch in either image.
        strength: [K], cosine of patches, or what the match adds to a score.
    """

    first: IntArray
    second: IntArray
    strength: FloatArray

    def strongest(self, count: int) -> "Matches":
        """Return the first `count`."""
        return Matches(self.first[:count], self.second[:count], self.strength[:count])


@torch.inference_mode()
def see_patches(model: PatchModel, raw: Batch) -> SeenPatches:
    """Look at the patches of images as they were decoded, uint8 [M, 3, H, W]."""
    device = best_device()
    model.network.to(device).eval()
    attention, tokens = [], []
    for start in range(0, len(raw.images), _BATCH):
        part = Batch(*(fact[start : start + _BATCH].to(device) for fact in raw))
        view = model.view(part._replace(images=normalise(part.images, model.image)))
        attention.append(view.attention.float().cpu().numpy())
        tokens.append(F.normalize(view.tokens.float(), dim=3).cpu().numpy())
    return SeenPatches(np.concatenate(attention), np.concatenate(tokens))


def cluster_parts(tokens: FloatArray, parts: int, seed: int) -> IntArray:
    """Sort the patches of all images into `parts` clusters by spherical k-means.

    The clusters are numbered from the top of the images to the bottom, by their mean row.

    Args:
        tokens: [M, h, w, D], each of length 1.
        parts: At least 2.
        seed: Of the first centres.

    Returns:
        [M, h, w], the cluster of each patch.

    Raises:
        ParamsError: There are fewer patches than clusters.
    """
    # half a second
    import faiss

    *shape, width = tokens.shape
    points = np.ascontiguousarray(tokens.reshape(-1, width))
    if len(points) < parts:
        raise ParamsError(
            f"{parts} parts of {len(points)} patches", "more patches", "Ask for fewer parts."
        )
    means = faiss.Kmeans(
        width,
        parts,
        niter=_ROUNDS,
        nredo=_RESTARTS,
        seed=seed % 2**31,
        spherical=True,
        min_points_per_centroid=1,
        max_points_per_centroid=len(points),
    )
    # sums in one thread are always in the same order
    with threadpool_limits(1):
        means.train(points)
        labels = means.index.search(points, 1)[1].reshape(shape)
    rows = np.broadcast_to(np.arange(shape[1])[:, None], shape)
    count = np.bincount(labels.ravel(), minlength=parts)
    height = np.bincount(labels.ravel(), rows.ravel(), parts) / np.maximum(count, 1)
    place = np.empty(parts, np.int64)
    place[np.argsort(height, kind="stable")] = np.arange(parts)
    return place[labels]


def match_patches(first: FloatArray, second: FloatArray) -> Matches:
    """Pair the patches of two images, [h, w, D] each, that are each other's nearest by cosine."""
    cosine = first.reshape(-1, first.shape[2]) @ second.reshape(-1, second.shape[2]).T
    there, back = cosine.argmax(axis=1), cosine.argmax(axis=0)
    mutual = np.flatnonzero(back[there] == np.arange(len(there)))
    order = mutual[np.argsort(-cosine[mutual, there[mutual]], kind="stable")]
    partners = there[order]
    return Matches(
        np.stack(np.divmod(order, first.shape[1]), axis=1),
        np.stack(np.divmod(partners, second.shape[1]), axis=1),
        cosine[order, partners],
    )
