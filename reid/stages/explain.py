"""Picture what a model looks at: patches of a transformer, or what scores of pairs are made of."""

import json
from dataclasses import dataclass
from pathlib import Path

from reid.errors import ParamsError
from reid.files import write_whole
from reid.methods.pair_explanation import PairModel
from reid.report.explanation import PARTS
from reid.stages.explained_images import Look, open_scene
from reid.stages.explained_model import ExplainedModel, find_model
from reid.stages.explained_pairs import explain_pairs
from reid.stages.explained_patches import explain_patches
from reid.stages.paths import explain_folder
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
        ParamsError: An argument is wrong, or nothing can be said about the network.
        DataError: The dataset is not built, or an image cannot be read.
        CheckpointError: The weights cannot be loaded.
    """
    _require_numbers(wanted)
    study = load_study()
    model = find_model(study, target)
    look = _look(model, wanted, wanted.folder or explain_folder(study.study, model.name))
    if isinstance(model.inside, PairModel):
        pictures, facts = explain_pairs(model.inside, look)
    else:
        parts = DEFAULT_PARTS if wanted.parts is None else wanted.parts
        pictures, facts = explain_patches(model.inside, look, parts, wanted.seed)
    record = {
        "model": model.name,
        "method": model.method,
        "dataset": look.scene.dataset,
        "manifest_digest": look.scene.manifest.digest,
        "seed": wanted.seed,
        **facts,
    }
    write_whole(look.folder / RECORD, json.dumps(record, indent=2) + "\n")
    _log(model, pictures)
    print(f"{look.title}: {len(look.scene.shown)} images, pictures in {look.folder}")


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


def _look(model: ExplainedModel, wanted: Wanted, folder: Path) -> Look:
    in_pairs = isinstance(model.inside, PairModel)
    if in_pairs and wanted.parts is not None:
        raise ParamsError(
            f"--parts {wanted.parts} for {model.name}, which scores pairs and has no patch tokens",
            "the option for transformers only",
            "Leave it out.",
        )
    count = COMPARED if in_pairs else CLUSTERED
    scene = open_scene(_dataset(model, wanted), wanted.images // 2, count, wanted.seed)
    # Camera ids mean something to a network only on the dataset that it was trained on.
    home = scene.dataset == model.train_dataset
    batch = scene.batch(model.inside.image, model.camera_ids if home else ())
    return Look(scene, batch, folder, f"{model.name} on {scene.dataset}")


def _log(model: ExplainedModel, pictures: list[Path]) -> None:
    run = None if model.mlflow_run_id is None else find_run(model.mlflow_run_id)
    if run is not None:
        run.log_files(pictures, ARTIFACTS)
