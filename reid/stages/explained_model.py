"""Which model to explain: a run of the study, a model directory, or a pretrained backbone."""

from dataclasses import dataclass
from pathlib import Path

from reid.methods.explanation import PatchModel, PatchNetwork
from reid.methods.model_directory import WEIGHTS_FILE, LoadedModel, load_model
from reid.methods.pair_explanation import PairModel, pair_model
from reid.pretrain.exported import load_exported
from reid.pretrain.parent import BACKBONE_FILE
from reid.pretrain.pretrained_directory import load_card
from reid.recipe import ImageRecipe
from reid.stages.paths import model_folder, pretrained_folder
from reid.study import Study


@dataclass(frozen=True)
class ExplainedModel:
    """A model that can be looked into.

    Args:
        name: Run or folder.
        method: Name of the method, or `pretraining`.
        inside: Its patches, or its scores of pairs; None for a network with neither, such as a
            convolutional one.
        train_dataset: What it was trained on, as far as its card says.
        dataset: What to look at unless told otherwise; None if nobody knows.
        camera_ids: Training cameras in the order of their rank.
        mlflow_run_id: The run that trained it.
        embeds: The model, if it gives features with distances between them.
    """

    name: str
    method: str
    inside: PatchModel | PairModel | None
    train_dataset: str | None
    dataset: str | None
    camera_ids: tuple[int, ...] = ()
    mlflow_run_id: str | None = None
    embeds: LoadedModel | None = None


def find_model(study: Study, target: str) -> ExplainedModel:
    """Load what `target` names: a run of the study, else a pretraining, a folder, or a file.

    Raises:
        ParamsError: There is no such thing, or nothing can be said about its scores of pairs.
        CheckpointError: The weights cannot be loaded.
    """
    path = model_folder(study.study, target)
    if target not in study.runs and target in study.pretrainings:
        path = pretrained_folder(study.study, target)
    elif target not in study.runs and not path.is_dir():
        path = Path(target)
        if not path.exists():
            study.run(target)  # says which runs there are
    if path.is_file() and path.name != WEIGHTS_FILE:
        return _pretrained(path)
    folder = path.parent if path.is_file() else path
    if (folder / BACKBONE_FILE).is_file():
        return _pretrained(folder / BACKBONE_FILE)
    return _trained(study, folder)


def _trained(study: Study, folder: Path) -> ExplainedModel:
    model = load_model(folder)
    card, inside = model.card, _inside(model)
    ours = card.study == study.study and card.run in study.runs
    return ExplainedModel(
        name=card.run,
        method=card.method,
        inside=inside,
        train_dataset=card.train_dataset,
        dataset=study.runs[card.run].test if ours else card.train_dataset,
        camera_ids=card.camera_ids,
        mlflow_run_id=card.mlflow_run_id,
        embeds=None if isinstance(inside, PairModel) else model,
    )


def _inside(model: LoadedModel) -> PatchModel | PairModel | None:
    network = model.network
    if network.scorer() is not None:
        return pair_model(model)
    if not isinstance(network, PatchNetwork):
        return None
    return PatchModel(network, network.view_patches, model.recipe.image)


def _pretrained(path: Path) -> ExplainedModel:
    backbone = load_exported(path)
    network, facts = backbone.network, backbone.facts
    height, width = facts.image_size
    image = ImageRecipe(height=height, width=width, mean=facts.mean, std=facts.std)
    card = load_card(path.absolute().parent)
    return ExplainedModel(
        name=f"{path.absolute().parent.name}_pretraining",
        method="pretraining",
        inside=PatchModel(network, lambda batch: network.view_patches(batch.images), image),
        train_dataset=card.dataset if card else None,
        dataset=card.dataset if card else None,
        mlflow_run_id=card.mlflow_run_id if card else None,
    )
