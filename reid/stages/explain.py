"""Picture what a model looks at: attention, parts and correspondences of its patches."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reid.errors import ParamsError
from reid.files import write_whole
from reid.methods.explanation import (
    IntArray,
    Matches,
    SeenPatches,
    cluster_parts,
    match_patches,
    see_patches,
)
from reid.report.explanation import (
    PARTS,
    Shown,
    draw_attention,
    draw_correspondences,
    draw_parts,
)
from reid.stages.explained_images import Chosen, Scene, open_scene
from reid.stages.explained_model import ExplainedModel, find_model
from reid.stages.paths import explain_folder
from reid.study import load_study
from reid.tracking.run import find_run

ATTENTION, PART_MAPS, CORRESPONDENCES = "attention.png", "parts.png", "correspondences.png"
RECORD = "explain.json"
ARTIFACTS = "explain"
CLUSTERED = 256  # images whose patches are sorted into parts, those that are shown among them
LINES = 16  # matches drawn between two images
_WIDTH = 240  # pixels at which images are decoded to be drawn


@dataclass(frozen=True)
class Wanted:
    """What to picture.

    Args:
        dataset: None for the test set of the run, or what the model was trained on.
        images: How many are shown, in pairs.
        parts: Clusters of patches.
        seed: Of the choice of images and of the clusters.
        folder: Where to write; None for `reports/<study>/explain/<run>`.
    """

    dataset: str | None = None
    images: int = 8
    parts: int = 6
    seed: int = 0
    folder: Path | None = None


@dataclass(frozen=True, eq=False)
class _Found:
    """What was found in the M images of a scene.

    Args:
        labels: [M, h, w], the part of each patch.
        matches: Of each pair.
    """

    seen: SeenPatches
    labels: IntArray
    matches: list[Matches]


def explain(target: str, wanted: Wanted) -> None:
    """Write three pictures and a record of the images in them.

    The pictures are also added to the MLflow run that trained the model, if the store knows it.

    Args:
        target: A run of the active study, a model directory, or an exported backbone.
        wanted: What to picture.

    Raises:
        ParamsError: An argument is wrong, or the network has no patch tokens.
        DataError: The dataset is not built, or an image cannot be read.
        CheckpointError: The weights cannot be loaded.
    """
    _require_numbers(wanted)
    study = load_study()
    model = find_model(study, target)
    scene = open_scene(_dataset(model, wanted), wanted.images // 2, CLUSTERED, wanted.seed)
    found = _look(model, scene, wanted)
    folder = wanted.folder or explain_folder(study.study, model.name)
    title = f"{model.name} on {scene.dataset}"
    _draw(folder, title, [_shown(scene, model, image) for image in scene.shown], found)
    record = _record(model, scene, wanted, found)
    write_whole(folder / RECORD, json.dumps(record, indent=2) + "\n")
    _log(model, folder)
    print(f"{title}: {len(scene.shown)} images, pictures in {folder}")


def _require_numbers(wanted: Wanted) -> None:
    if wanted.images < 2 or wanted.images % 2:
        raise ParamsError(
            f"--images {wanted.images}",
            "an even number from 2, as images are shown in pairs",
            "Change it.",
        )
    if not 2 <= wanted.parts <= len(PARTS):
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


def _look(model: ExplainedModel, scene: Scene, wanted: Wanted) -> _Found:
    # Camera ids mean something to a network only on the dataset that it was trained on.
    home = scene.dataset == model.train_dataset
    batch = scene.batch(model.patches.image, model.camera_ids if home else ())
    seen = see_patches(model.patches, batch)
    labels = cluster_parts(seen.tokens, wanted.parts, wanted.seed)
    shown = seen.tokens[: len(scene.shown)]
    matches = [match_patches(*pair) for pair in zip(shown[::2], shown[1::2], strict=True)]
    return _Found(seen, labels, matches)


def _shown(scene: Scene, model: ExplainedModel, image: Chosen) -> Shown:
    size = model.patches.image
    pixels = scene.read(image, round(_WIDTH * size.height / size.width), _WIDTH)
    facts = scene.facts(image)
    words = [
        f"{word} {facts[key]}"
        for word, key in (("id", "person_id"), ("cam", "camera_id"))
        if facts[key] is not None
    ]
    return Shown(pixels, "  ".join(["altered copy"] if image.altered else words))


def _draw(folder: Path, title: str, shown: list[Shown], found: _Found) -> None:
    count, rows, columns = len(shown), *found.labels.shape[1:]
    draw_attention(
        shown,
        found.seen.attention[:count],
        folder / ATTENTION,
        f"{title}: where the class token looks in the last block",
    )
    draw_parts(
        shown,
        found.labels[:count],
        folder / PART_MAPS,
        f"{title}: clusters of the patches of {len(found.labels)} images, numbered from the top",
    )
    draw_correspondences(
        list(zip(shown[::2], shown[1::2], strict=True)),
        [match.strongest(LINES) for match in found.matches],
        (rows, columns),
        folder / CORRESPONDENCES,
        f"{title}: matching patches",
    )


def _record(model: ExplainedModel, scene: Scene, wanted: Wanted, found: _Found) -> dict[str, Any]:
    return {
        "model": model.name,
        "method": model.method,
        "dataset": scene.dataset,
        "manifest_digest": scene.manifest.digest,
        "seed": wanted.seed,
        "parts": wanted.parts,
        "clustered_images": len(found.labels),
        "pairs": [
            {"images": [scene.facts(image) for image in pair], "matches": len(match.cosine)}
            for pair, match in zip(scene.pairs, found.matches, strict=True)
        ],
    }


def _log(model: ExplainedModel, folder: Path) -> None:
    run = None if model.mlflow_run_id is None else find_run(model.mlflow_run_id)
    if run is not None:
        pictures = (ATTENTION, PART_MAPS, CORRESPONDENCES)
        run.log_files([folder / name for name in pictures], ARTIFACTS)
