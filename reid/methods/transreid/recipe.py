"""Recipe of TransReID."""

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from reid.nn.vision_transformer import TransformerShape
from reid.params import Params, nearest
from reid.recipe import Recipe


class BackboneSize(Params):
    """Sizes of a vision transformer.

    Attributes:
        embed: Length of a token.
        mlp_ratio: Hidden size of the perceptron relative to `embed`.
        qk_scale: Factor of the attention logits; null means the head size to the power -1/2.
    """

    embed: int = Field(ge=1)
    depth: int = Field(ge=1)
    heads: int = Field(ge=1)
    mlp_ratio: float = Field(4.0, gt=0)
    qkv_bias: bool = True
    qk_scale: float | None = None

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.embed % self.heads:
            raise ValueError(f"a number of heads that divides embed {self.embed}")
        return self


BACKBONES = {
    "vit_base": BackboneSize(embed=768, depth=12, heads=12),
    "deit_base": BackboneSize(embed=768, depth=12, heads=12),
    # the "small" of an old timm, with its scale by the whole width
    "vit_small": BackboneSize(
        embed=768, depth=8, heads=8, mlp_ratio=3.0, qkv_bias=False, qk_scale=768**-0.5
    ),
    "deit_small": BackboneSize(embed=384, depth=12, heads=6),
}


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


class ModelRecipe(Params):
    """The network.

    Attributes:
        backbone: Sizes, or one of the names vit_base, deit_base, vit_small and deit_small.
        stride: Step between patches in pixels, one number or (vertical, horizontal).
        drop_path: Stochastic depth of the last block.
        jigsaw: Local branches, or null for the class token alone.
        neck: Take the embedding before or after the batch-norm neck.
    """

    backbone: BackboneSize = BACKBONES["vit_base"]
    patch: int = Field(16, ge=1)
    stride: int | tuple[int, int] = 16
    drop_path: float = Field(0.1, ge=0, lt=1)
    side_information: SideInformationRecipe = SideInformationRecipe()
    jigsaw: JigsawRecipe | None = None
    neck: Literal["before", "after"] = "before"

    @field_validator("backbone", mode="before")
    @classmethod
    def _sizes_of_a_name(cls, value: Any) -> Any:
        if isinstance(value, str) and value not in BACKBONES:
            raise ValueError(f"sizes or one of {', '.join(BACKBONES)}{nearest(value, BACKBONES)}")
        return BACKBONES[value] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _stride_is_positive(self) -> Self:
        if min(self.strides) < 1:
            raise ValueError("a stride of at least 1")
        return self

    @property
    def strides(self) -> tuple[int, int]:
        """Step between patches, (vertical, horizontal)."""
        return (self.stride, self.stride) if isinstance(self.stride, int) else self.stride

    @property
    def shape(self) -> TransformerShape:
        """Sizes of the transformer."""
        size = self.backbone
        return TransformerShape(
            width=size.embed,
            depth=size.depth,
            heads=size.heads,
            mlp_ratio=size.mlp_ratio,
            qkv_bias=size.qkv_bias,
            qk_scale=size.qk_scale,
            drop_path=self.drop_path,
        )


class LossRecipe(Params):
    """Identity and triplet loss.

    Attributes:
        label_smoothing: Share of the target that is spread over all classes.
        margin: Margin of the triplet loss, null for the soft margin.
    """

    label_smoothing: float = Field(0.0, ge=0, lt=1)
    margin: float | None = None
    id_weight: float = Field(1.0, ge=0)
    triplet_weight: float = Field(1.0, ge=0)


class TransReidRecipe(Recipe):
    """Everything that decides a TransReID training run."""

    method: Literal["transreid"] = "transreid"
    model: ModelRecipe = ModelRecipe()
    loss: LossRecipe = LossRecipe()
