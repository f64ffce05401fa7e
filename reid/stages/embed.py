"""Stage `embed@<run>`: the features of every test set of a run."""

from pathlib import Path
from typing import Any

from reid.data.images import TEST_RESAMPLING, ImageTable, image_facts
from reid.data.manifest import Manifest
from reid.files import whole_folder
from reid.methods.cost import image_flops
from reid.methods.embedding import best_device, embed_images
from reid.methods.model_directory import WEIGHTS_FILE, LoadedModel, load_model
from reid.progress import progress
from reid.retrieval.embeddings import new_features
from reid.stages.feature_store import make_embeddings, rows_to_embed
from reid.stages.paths import embeddings_folder, manifest_file, model_folder, open_images
from reid.study import Study, load_study
from reid.tracking.digest import sha256


def embed_run(name: str) -> None:
    """Write `embeddings/<study>/<run>/<dataset>.{npy,parquet}` for each test set."""
    study = load_study()
    run = study.run(name)
    folder = model_folder(study.study, name)
    model = load_model(folder)
    with whole_folder(embeddings_folder(study.study, name)) as target:
        for dataset in run.test_sets:
            _embed_dataset(study, dataset, model, folder, target / dataset)


def _embed_dataset(
    study: Study, dataset: str, model: LoadedModel, folder: Path, stem: Path
) -> None:
    manifest = Manifest.load(manifest_file(dataset))
    rows = rows_to_embed(dataset, manifest)
    # Camera ids mean something to a network only on the dataset that it was trained on.
    home = dataset == model.card.train_dataset
    facts = image_facts(manifest, rows.index.to_numpy(), model.card.camera_ids if home else ())
    image = model.recipe.image
    storage = open_images(dataset, study.dataset(dataset))
    table = ImageTable(
        storage, rows["path"].tolist(), facts, image.height, image.width, TEST_RESAMPLING
    )
    shape = (len(rows), model.network.feature_size)
    features = new_features(stem, shape, study.embeddings.precision)
    flops = image_flops(model.network, model.recipe)
    with progress(f"{model.card.run}: embed {dataset}") as advance:
        speed = embed_images(model.network, model.recipe, table, features, advance)
    card = {
        **_card(dataset, manifest, model, folder),
        "images_per_second": round(speed, 1),
        "cost": {
            "parameters": model.card.parameters,
            "flops_per_image": flops,
            "flops_without": sorted(model.network.backends(best_device().type)),
            "images_per_second": round(speed, 1),
            "feature_bytes": features[:1].nbytes,
            "training_seconds": model.card.training_seconds,
        },
    }
    make_embeddings(rows, features, card).save(stem)


def _card(dataset: str, manifest: Manifest, model: LoadedModel, folder: Path) -> dict[str, Any]:
    device = best_device().type
    scorer = model.network.scorer()
    return {
        "dataset": dataset,
        "manifest_digest": manifest.digest,
        "model_digest": sha256(folder / WEIGHTS_FILE),
        "method": model.card.method,
        "run": model.card.run,
        "train_dataset": model.card.train_dataset,
        "precision": model.recipe.precision,
        "flip": model.recipe.embed_flip,
        "uses_camera_ids": model.network.uses_cameras,
        "feature_size": model.network.feature_size,
        "scored_in_pairs": scorer is not None,
        "device": device,
        "backends": {part: c.name for part, c in model.network.backends(device).items()},
        "world_size": model.card.world_size,
        "run_seed": model.card.seed,
        "mlflow_run_id": model.card.mlflow_run_id,
    }
