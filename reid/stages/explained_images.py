"""Which images to look at: pairs of one person, or an image and an altered copy of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

from reid.data.images import TEST_RESAMPLING, Batch, image_facts, read_image
from reid.data.manifest import Manifest
from reid.data.storage import Storage
from reid.errors import DataError
from reid.recipe import ImageRecipe
from reid.report.page import Shown
from reid.stages.catalogue import dataset_entry
from reid.stages.feature_store import ROLES
from reid.stages.paths import manifest_file, open_images

CROP = 0.8  # of height and width, what an altered copy shows
_WIDTH = 240  # pixels at which images are decoded to be drawn

Pixels = NDArray[np.uint8]


class Chosen(NamedTuple):
    """An image to look at: a row of the manifest, as it is or altered."""

    row: int
    altered: bool = False


def rows_to_explain(dataset: str, manifest: Manifest) -> pd.DataFrame:
    """Return the sound test images, or all sound images of a dataset without test split.

    Raises:
        DataError: There is none.
    """
    frame = manifest.frame[manifest.frame["flag"] == "ok"]
    test = frame[frame["split"].isin(list(ROLES))]
    rows = test if len(test) else frame[frame["split"] != "ignored"]
    if rows.empty:
        raise DataError(f"{dataset}: no image to look at", "sound images", "Name another dataset.")
    return rows


def choose_pairs(rows: pd.DataFrame, count: int, seed: int) -> list[tuple[Chosen, Chosen]]:
    """Draw pairs of images of one person in two cameras, each of another person.

    Where nobody is seen by two cameras, two images of one person are taken; where nobody is known,
    an image and its altered copy.

    Returns:
        At most `count` pairs, in the order of their people.
    """
    generator = np.random.default_rng(seed)
    known = rows[rows["pid"].notna()].assign(camid=rows["camid"].fillna(-1))
    people = known.groupby("pid")
    for enough in (people["camid"].nunique() > 1, people.size() > 1):
        candidates = enough.index[enough].to_numpy(np.int64)
        if len(candidates):
            drawn = np.sort(generator.permutation(candidates)[:count])
            return [_pair(known[known["pid"] == person], generator) for person in drawn.tolist()]
    drawn = np.sort(generator.permutation(rows.index.to_numpy(np.int64))[:count])
    return [(Chosen(row), Chosen(row, altered=True)) for row in drawn.tolist()]


def _pair(images: pd.DataFrame, generator: np.random.Generator) -> tuple[Chosen, Chosen]:
    order = generator.permutation(len(images))
    cameras = images["camid"].to_numpy(np.int64)[order]
    elsewhere = np.flatnonzero(cameras != cameras[0])
    second = order[elsewhere[0] if len(elsewhere) else 1]
    return Chosen(int(images.index[order[0]])), Chosen(int(images.index[second]))


def altered(pixels: Pixels) -> Pixels:
    """Mirror an image [H, W, 3] and enlarge its middle, at the same size."""
    height, width = pixels.shape[:2]
    top, left = round(height * (1 - CROP) / 2), round(width * (1 - CROP) / 2)
    mirrored = ImageOps.mirror(Image.fromarray(pixels))
    middle = mirrored.crop((left, top, width - left, height - top))
    return np.array(middle.resize((width, height), TEST_RESAMPLING))


@dataclass(frozen=True, eq=False)
class Scene:
    """What is looked at in a dataset.

    Args:
        pairs: What is shown.
        others: What is looked at beside it.
    """

    dataset: str
    storage: Storage
    manifest: Manifest
    pairs: list[tuple[Chosen, Chosen]]
    others: list[Chosen]

    @property
    def shown(self) -> list[Chosen]:
        """The images of the pairs."""
        return [image for pair in self.pairs for image in pair]

    def read(self, image: Chosen, height: int, width: int) -> Pixels:
        """Decode an image to [height, width, 3], and alter it where that is wanted."""
        path = str(self.manifest.frame["path"].iloc[image.row])
        pixels = read_image(self.storage, path, height, width, TEST_RESAMPLING)
        return altered(pixels) if image.altered else pixels

    def batch(self, size: ImageRecipe, camera_ids: tuple[int, ...]) -> Batch:
        """Decode all images for a network, those that are shown first: uint8 [M, 3, H, W].

        Args:
            camera_ids: Cameras that the network knows, in the order of their rank.
        """
        images = self.shown + self.others
        pixels = np.stack([self.read(image, size.height, size.width) for image in images])
        facts = image_facts(self.manifest, np.array([image.row for image in images]), camera_ids)
        return Batch(torch.from_numpy(pixels).permute(0, 3, 1, 2), *facts)

    def facts(self, image: Chosen) -> dict[str, Any]:
        """Say which image it is; ids that nobody knows are None."""
        row = self.manifest.frame.iloc[image.row]
        person, camera = (None if pd.isna(row[key]) else int(row[key]) for key in ("pid", "camid"))
        return {
            "path": str(row["path"]),
            "person_id": person,
            "camera_id": camera,
            "altered": image.altered,
        }

    def show(self, image: Chosen, size: ImageRecipe) -> Shown:
        """Return an image as it is drawn, in the proportions that a network sees."""
        facts = self.facts(image)
        words = [
            f"{word} {facts[key]}"
            for word, key in (("id", "person_id"), ("cam", "camera_id"))
            if facts[key] is not None
        ]
        pixels = self.read(image, round(_WIDTH * size.height / size.width), _WIDTH)
        return Shown(pixels, "  ".join(["altered copy"] if image.altered else words))


@dataclass(frozen=True, eq=False)
class Look:
    """What is looked at, and what becomes of it.

    Args:
        batch: The images of the scene as the network gets them, those that are shown first.
        folder: Where pictures go.
        title: Over each of them.
    """

    scene: Scene
    batch: Batch
    folder: Path
    title: str


def open_scene(dataset: str, pairs: int, images: int, seed: int) -> Scene:
    """Choose `pairs` pairs of images, and others up to `images` in all.

    Raises:
        DataError: The dataset is not built, or has no sound image.
    """
    storage = open_images(dataset, dataset_entry(dataset))
    manifest = Manifest.load(manifest_file(dataset))
    rows = rows_to_explain(dataset, manifest)
    chosen = choose_pairs(rows, pairs, seed)
    shown = {image.row for pair in chosen for image in pair}
    left = rows.index.difference(list(shown)).to_numpy(np.int64)
    drawn = np.random.default_rng(seed).permutation(left)[: max(0, images - 2 * len(chosen))]
    return Scene(
        dataset, storage, manifest, chosen, [Chosen(row) for row in np.sort(drawn).tolist()]
    )
