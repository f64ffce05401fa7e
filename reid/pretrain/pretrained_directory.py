"""A pretraining on disk: the teacher's backbone, what it grew from, recipe and card."""

import shutil
from collections.abc import Iterable
from pathlib import Path

import yaml
from pydantic import Field

from reid.nn.backbone_file import BackboneFacts, save_backbone
from reid.params import Params, parse_params, read_yaml
from reid.pretrain.backbone import PretrainBackbone
from reid.pretrain.distillation import SelfDistillation
from reid.pretrain.parent import BACKBONE_FILE, STATE_FILE, save_state
from reid.pretrain.recipe import PretrainRecipe
from reid.recipe import Precision

RECIPE_FILE = "recipe.yaml"
CARD_FILE = "card.json"


class PretrainCard(Params):
    """What must be known of a pretrained backbone beside its recipe.

    Attributes:
        dataset: Unlabelled dataset.
        manifest_digest: Digest of its manifest.
        images: Images that were used of it.
        selected_by: What chose them: scores, or the code that draws at random.
        licence, status, consent: What the manifest says about the data's use.
        acknowledged_by: Who used withdrawn data all the same, and why.
        parents: Weights that this pretraining went on from.
        backbone: Grid, size and normalisation that fine-tuning must know.
        weights_sha256: Digest of the backbone's file.
        git_commit: Commit of the code, `+dirty` if it had changes.
        world_size: Processes that trained together.
        version: Version of this program.
    """

    name: str
    study: str
    dataset: str
    manifest_digest: str
    images: int = Field(ge=1)
    selected_by: str
    licence: str
    status: str
    consent: str
    acknowledged_by: str = ""
    parents: tuple[str, ...] = ()
    backbone: BackboneFacts
    weights_sha256: str
    mlflow_run_id: str | None = None
    git_commit: str | None = None
    precision: Precision
    seed: int
    world_size: int = Field(1, ge=1)
    epochs: int = Field(ge=1)
    version: str


def backbone_facts(backbone: PretrainBackbone, recipe: PretrainRecipe) -> BackboneFacts:
    """Collect what the weights cannot say about themselves."""
    views = recipe.views
    return BackboneFacts(
        grid=backbone.patch_embed.grid,
        image_size=views.global_size,
        mean=views.mean,
        std=views.std,
    )


def export_backbone(path: Path, backbone: PretrainBackbone, recipe: PretrainRecipe) -> None:
    """Write a backbone alone, for a method to start from."""
    save_backbone(path, backbone.state_dict(), backbone_facts(backbone, recipe))


def save_pretrained(
    folder: Path, distillation: SelfDistillation, recipe: PretrainRecipe, kept: Iterable[Path]
) -> None:
    """Write weights and recipe into an existing folder; equal arguments give equal bytes.

    Args:
        kept: Backbones of earlier epochs, which are moved there.
    """
    export_backbone(folder / BACKBONE_FILE, distillation.teacher.backbone, recipe)
    save_state(folder / STATE_FILE, distillation)
    plain = recipe.model_dump(mode="json")
    (folder / RECIPE_FILE).write_text(yaml.safe_dump(plain, sort_keys=False), encoding="utf-8")
    for path in kept:
        shutil.copyfile(path, folder / path.name)


def save_card(folder: Path, card: PretrainCard) -> None:
    """Write the card beside the weights."""
    (folder / CARD_FILE).write_text(card.model_dump_json(indent=2) + "\n", encoding="utf-8")


def load_card(folder: Path) -> PretrainCard | None:
    """Return the card of a folder; None where weights lie without one.

    Raises:
        ParamsError: The file is no such card.
    """
    path = folder / CARD_FILE
    return parse_params(read_yaml(path), PretrainCard, str(path)) if path.is_file() else None
