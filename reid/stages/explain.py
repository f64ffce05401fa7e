"""Picture what a model makes of images: its patches, scores of pairs, or two spectra."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reid.data.manifest import Manifest
from reid.errors import ParamsError
from reid.files import write_whole
from reid.methods.explanation import PatchModel
from reid.methods.pair_explanation import PairModel
from reid.report.explanation import PARTS
from reid.stages.explained_gap import explain_gap
from reid.stages.explained_images import Look, open_scene
from reid.stages.explained_model import ExplainedModel, find_model
from reid.stages.explained_pairs import explain_pairs
from reid.stages.explained_patches import explain_patches
from reid.stages.paths import explain_folder, manifest_file
from reid.study import load_study
from reid.tracking.run import find_run

RECORD = "explain.json"
ARTIFACTS = "explain"
CLUSTERED = 256  # images whose patches are sorted into parts, those that are shown among them
COMPARED = 64  # images among which look-alikes are sought, those that are shown among them
DEFAULT_PARTS = 6


@dataclass(frozen=True)
class Wanted:
    """What to picture.

    Args:
        dataset: None for the test set of the run, or what the model was trained on.
        images: How many are shown, in pairs.
        parts: Clusters of patches, where there are patches; None for six.
        seed: Of the choice of images and of the clusters.
        folder: Where to write; None for `reports/<study>/explain/<run>`.
    """

    dataset: str | None = None
    images: int = 8
    parts: int | None = None
    seed: int = 0
    folder: Path | None = None


def explain(target: str, wanted: Wanted) -> None:
    """Write pictures and a record of the images in them.

    The pictures are also added to the MLflow run that trained the model, if the store knows it.

    Args:
        target: A run of the active study, a model directory, or an exported backbone.
        wanted: What to picture.

    Raises:
        ParamsError: An argument is wrong, or there is nothing to draw of the network.
        DataError: The dataset is not built, or an image cannot be read.
        CheckpointError: The weights cannot be loaded.
    """
    _require_numbers(wanted)
    study = load_study()
    model = find_model(study, target)
    dataset = _dataset(model, wanted)
    folder = wanted.folder or explain_folder(study.study, model.name)
    title = f"{model.name} on {dataset}"
    _require_parts(model, wanted)
    pictures, facts = _look_inside(model, dataset, wanted, folder, title)
    if model.embeds is not None:
        gap = explain_gap(model.embeds, dataset, folder, title, wanted.seed)
        if gap is not None:
            pictures.append(gap[0])
            facts["modality_gap"] = gap[1]
    if not pictures:
        raise _nothing_to_draw(model, dataset)
    record = {
        "model": model.name,
        "method": model.method,
        "dataset": dataset,
        "manifest_digest": Manifest.load(manifest_file(dataset)).digest,
        "seed": wanted.seed,
        **facts,
    }
    write_whole(folder / RECORD, json.dumps(record, indent=2) + "\n")
    _log(model, pictures)
    print(f"{title}: {', '.join(picture.name for picture in pictures)} in {folder}")


def _require_numbers(wanted: Wanted) -> None:
    if wanted.images < 2 or wanted.images % 2:
        raise ParamsError(
            f"--images {wanted.images}",
            "an even number from 2, as images are shown in pairs",
            "Change it.",
        )
    if wanted.parts is not None and not 2 <= wanted.parts <= len(PARTS):
        raise ParamsError(f"--parts {wanted.parts}", f"2 to {len(PARTS)}", "Change it.")
    if wanted.seed < 0:
        raise ParamsError(f"--seed {wanted.seed}", "a number from 0", "Change it.")


def _dataset(model: ExplainedModel, wanted: Wanted) -> str:
    dataset = wanted.dataset or model.dataset
    if dataset is None:
        raise ParamsError(
            f"{model.name} does not say what it was trained on",
            "a dataset whose images to look at",
            "Name one with --dataset.",
        )
    return dataset


def _require_parts(model: ExplainedModel, wanted: Wanted) -> None:
    if wanted.parts is not None and not isinstance(model.inside, PatchModel):
        kind = "scores pairs and has" if isinstance(model.inside, PairModel) else "has"
        raise ParamsError(
            f"--parts {wanted.parts} for {model.name}, which {kind} no patch tokens",
            "the option for transformers only",
            "Leave it out.",
        )


def _look_inside(
    model: ExplainedModel, dataset: str, wanted: Wanted, folder: Path, title: str
) -> tuple[list[Path], dict[str, Any]]:
    """Draw patches or scores of pairs, if there are any."""
    inside = model.inside
    if inside is None:
        return [], {}
    count = COMPARED if isinstance(inside, PairModel) else CLUSTERED
    scene = open_scene(dataset, wanted.images // 2, count, wanted.seed)
    # Camera ids mean something to a network only on the dataset that it was trained on.
    home = scene.dataset == model.train_dataset
    batch = scene.batch(inside.image, model.camera_ids if home else ())
    look = Look(scene, batch, folder, title)
    if isinstance(inside, PairModel):
        return explain_pairs(inside, look)
    parts = DEFAULT_PARTS if wanted.parts is None else wanted.parts
    return explain_patches(inside, look, parts, wanted.seed)


def _nothing_to_draw(model: ExplainedModel, dataset: str) -> ParamsError:
    return ParamsError(
        f"{model.name}: a network of method {model.method} has no patch tokens, and {dataset} "
        "shows nobody in both visible and infrared light",
        "a run of transreid, personvit or transmatcher, a pretrained backbone, or a dataset of two "
        "spectra",
        "Name another run, or such a dataset with --dataset.",
    )


def _log(model: ExplainedModel, pictures: list[Path]) -> None:
    run = None if model.mlflow_run_id is None else find_run(model.mlflow_run_id)
    if run is not None:
        run.log_files(pictures, ARTIFACTS)
