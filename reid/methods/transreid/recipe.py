"""Recipe of TransReID."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from reid.nn.transformer_recipe import VIT_BASE, BackboneSize, TransformerRecipe
from reid.params import Params
from reid.recipe import LossRecipe, Recipe


class SideInformationRecipe(Params):
    """Which ids are embedded; a kind of which the training data hold only one id is off.

    Attributes:
        weight: Factor of the embedding, λ in the paper.
    """

    camera: bool = False
    view: bool = False
    weight: float = 3.0


class JigsawRecipe(Params):
    """The jigsaw patch module: local branches on shifted and shuffled patches.

    Attributes:
        shift: Patches are rotated by this number (less one with `legacy_rotation`).
        groups: The rotated sequence is dealt out from this many stacks in turn.
        pieces: Local branches.
        divide: A piece is this part of all patches; null means `pieces`. The published code fixes
            four pieces and lets only this number vary.
        rearrange: Shift and shuffle at all.
        legacy_rotation: Rotate by `shift - 1`, as the published code and weights do; the paper
            says `shift`.
    """

    shift: int = Field(5, ge=1)
    groups: int = Field(2, ge=1)
    pieces: int = Field(4, ge=1)
    divide: int | None = Field(None, ge=1)
    rearrange: bool = True
    legacy_rotation: bool = True


class ModelRecipe(TransformerRecipe):
    """The network; its backbone has sizes or one of the names below.

    Attributes:
        jigsaw: Local branches, or null for the class token alone.
        neck: Take the embedding before or after the batch-norm neck.
    """

    names: ClassVar[Mapping[str, BackboneSize]] = {
        "vit_base": VIT_BASE,
        "deit_base": VIT_BASE,
        # the "small" of an old timm, with its scale by the whole width
        "vit_small": BackboneSize(
            embed=768, depth=8, heads=8, mlp_ratio=3.0, qkv_bias=False, qk_scale=768**-0.5
        ),
        "deit_small": BackboneSize(embed=384, depth=12, heads=6),
    }

    side_information: SideInformationRecipe = SideInformationRecipe()
    jigsaw: JigsawRecipe | None = None
    neck: Literal["before", "after"] = "before"


class TransReidRecipe(Recipe):
    """Everything that decides a TransReID training run."""

    method: Literal["transreid"] = "transreid"
    model: ModelRecipe = ModelRecipe()
    loss: LossRecipe = LossRecipe.model_validate({})
