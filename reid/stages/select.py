"""Score the images of a pretraining, so that it can keep the best share of them."""

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reid.data.images import TEST_RESAMPLING, ImageTable, image_facts
from reid.data.manifest import Manifest
from reid.errors import DataError, ParamsError
from reid.methods.forgetting import feature_cosines
from reid.methods.model_directory import WEIGHTS_FILE, LoadedModel, load_model
from reid.methods.registry import get_method
from reid.pretrain.parent import BACKBONE_FILE
from reid.pretrain.score_file import convert_list, write_scores
from reid.progress import progress
from reid.stages.catalogue import dataset_entry
from reid.stages.paths import manifest_file, open_images
from reid.tracking.digest import sha256

SCORE = "cosine between features before and after fine-tuning; our reconstruction of CFS"


def score_images(dataset: str, before: Path, after: Path, out: Path) -> None:
    """Write how little fine-tuning changed the features of each image, best first.

    Args:
        dataset: Dataset of a pretraining, built.
        before: Model directory, or the weights that `after` was fine-tuned from: a file, or the
            folder of a pretraining.
        after: Model directory.
        out: Parquet file to write.

    Raises:
        ReidError: The dataset or a model cannot be used, or `out` has another suffix.
    """
    if out.suffix != ".parquet":
        raise ParamsError(f"--out {out}", "a name that ends in .parquet", "Correct the name.")
    entry, manifest = dataset_entry(dataset), Manifest.load(manifest_file(dataset))
    rows = pretraining_rows(dataset, manifest)
    tuned = load_model(after)
    if (before / BACKBONE_FILE).is_file():
        before = before / BACKBONE_FILE
    start = load_model(before) if before.is_dir() else _untuned(tuned, before)
    storage, paths = open_images(dataset, entry), rows["path"].tolist()
    facts = image_facts(manifest, rows.index.to_numpy(), ())  # cameras are none of the models'

    def table(model: LoadedModel) -> ImageTable:
        image = model.recipe.image
        return ImageTable(storage, paths, facts, image.height, image.width, TEST_RESAMPLING)

    first = table(start)
    sizes = {(m.recipe.image.height, m.recipe.image.width) for m in (start, tuned)}
    second = first if len(sizes) == 1 else table(tuned)
    with progress(f"select {dataset}") as advance:
        scores = feature_cosines(start, tuned, (first, second), advance)
    lineage = {"dataset": dataset, "manifest_digest": manifest.digest, "score": SCORE}
    lineage |= _digests("before", before) | _digests("after", after)
    write_scores(out, paths, scores, lineage)
    print(f"{out}: {_distribution(scores)}")


def convert_published_list(source: Path, out: Path) -> None:
    """Turn a pickled list of image names into a text file, without running what is in it."""
    print(f"{out}: {convert_list(source, out)} names, best first")


def pretraining_rows(dataset: str, manifest: Manifest) -> pd.DataFrame:
    """Pick the rows of a manifest that a pretraining sees.

    Raises:
        DataError: There are none.
    """
    rows = manifest.rows("pretrain").query("flag == 'ok'")
    if rows.empty:
        raise DataError(
            f"{dataset}: the pretrain split is empty",
            "images without labels",
            "Choose the dataset of a pretraining, such as one with the layout of LUPerson.",
        )
    return rows


def _untuned(tuned: LoadedModel, weights: Path) -> LoadedModel:
    """Put the backbone of a model back to the weights that it started from.

    What the weights do not hold, such as the neck, stays as it is and so changes no cosine.
    """
    network = copy.deepcopy(tuned.network)
    report = get_method(tuned.recipe.method).load_pretrained(network, weights)
    print(f"{weights}: {report.summary()}")
    return replace(tuned, network=network)


def _digests(name: str, source: Path) -> dict[str, str]:
    weights = source / WEIGHTS_FILE if source.is_dir() else source
    return {name: str(source), f"{name}_digest": sha256(weights)}


def _distribution(scores: NDArray[np.float64]) -> str:
    low, first, median, third, high = np.quantile(scores, [0, 0.25, 0.5, 0.75, 1])
    return (
        f"{len(scores)} images, cosine {low:.4f} to {high:.4f}, quartiles {first:.4f}, "
        f"{median:.4f}, {third:.4f}"
    )
