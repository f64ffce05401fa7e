"""The result of a pretraining: the teacher's backbone alone, for a method to start from."""

from pathlib import Path

from reid.nn.backbone_file import BackboneFacts, save_backbone
from reid.pretrain.backbone import PretrainBackbone
from reid.pretrain.recipe import PretrainRecipe


def export_backbone(path: Path, backbone: PretrainBackbone, recipe: PretrainRecipe) -> None:
    """Write the weights with the grid and normalisation that they were learned with."""
    views = recipe.views
    facts = BackboneFacts(
        grid=backbone.patch_embed.grid,
        image_size=views.global_size,
        mean=views.mean,
        std=views.std,
    )
    save_backbone(path, backbone.state_dict(), facts)
