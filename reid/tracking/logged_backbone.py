"""A pretrained backbone as an MLflow model: a parent that fine-tuned models name."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reid.pretrain.parent import BACKBONE_FILE
from reid.pretrain.pretrained_directory import CARD_FILE, RECIPE_FILE, PretrainCard
from reid.tracking.operations import LoggedFiles
from reid.tracking.run import TrackedRun, flatten

STORED = (BACKBONE_FILE, RECIPE_FILE, CARD_FILE, "history.csv")


def log_backbone(
    run: TrackedRun,
    folder: Path,
    card: PretrainCard,
    params: Mapping[str, Any],
) -> None:
    """Store the backbone with recipe, card and history under the run that pretrained it.

    Student, heads and the backbones of earlier epochs stay with DVC alone.

    Args:
        folder: What a pretraining wrote.
        params: Parameter tree of the pretraining.
    """
    tags = {
        key: json.dumps(value) if isinstance(value, dict | list) else str(value)
        for key, value in card.model_dump(mode="json").items()
    }
    run.log_logged_files(
        LoggedFiles(
            name=f"{card.name}-backbone",
            model_type="pretrained backbone",
            tags=tags,
            params={key: str(value) for key, value in flatten(params)},
            sources=tuple(folder / name for name in STORED),
        )
    )
