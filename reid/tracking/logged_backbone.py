"""A pretrained backbone as an MLflow model: a parent that fine-tuned models name."""

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlflow.entities import LoggedModelOutput, LoggedModelStatus

from reid.pretrain.parent import BACKBONE_FILE
from reid.pretrain.pretrained_directory import CARD_FILE, RECIPE_FILE, PretrainCard
from reid.tracking.run import TrackedRun, flatten
from reid.tracking.store import MLRUNS, open_client, open_experiment

STORED = (BACKBONE_FILE, RECIPE_FILE, CARD_FILE, "history.csv")


def log_backbone(
    run: TrackedRun,
    folder: Path,
    card: PretrainCard,
    params: Mapping[str, Any],
    root: Path = MLRUNS,
) -> str:
    """Store the backbone with recipe, card and history under the run that pretrained it.

    Student, heads and the backbones of earlier epochs stay with DVC alone.

    Args:
        folder: What a pretraining wrote.
        params: Parameter tree of the pretraining.

    Returns:
        The id of the logged model, which its children's versions have as `parent_model_id`.
    """
    client = open_client(root)
    tags = {
        key: json.dumps(value) if isinstance(value, dict | list) else str(value)
        for key, value in card.model_dump(mode="json").items()
    }
    logged = client.create_logged_model(
        open_experiment(card.study, root),
        name=f"{card.name}-backbone",
        source_run_id=run.run_id,
        tags=tags,
        params={key: str(value) for key, value in flatten(params)},
        model_type="pretrained backbone",
    )
    with tempfile.TemporaryDirectory() as scratch:
        for name in STORED:
            shutil.copyfile(folder / name, Path(scratch) / name)
        client.log_model_artifacts(logged.model_id, scratch)
    client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)
    client.log_outputs(run.run_id, [LoggedModelOutput(logged.model_id, step=0)])
    return str(logged.model_id)
