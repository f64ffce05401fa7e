"""The part of a recipe that gives a network on patches its sizes."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import Field, field_validator, model_validator

from reid.nn.vision_transformer import TransformerShape
from reid.params import Params, nearest


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

    def shape(self, drop_path: float) -> TransformerShape:
        """Return the sizes as the network takes them, with this stochastic depth."""
        return TransformerShape(
            width=self.embed,
            depth=self.depth,
            heads=self.heads,
            mlp_ratio=self.mlp_ratio,
            qkv_bias=self.qkv_bias,
            qk_scale=self.qk_scale,
            drop_path=drop_path,
        )


VIT_BASE = BackboneSize(embed=768, depth=12, heads=12)

PLAIN_SIZES = {
    "vit_tiny": BackboneSize(embed=192, depth=12, heads=3),
    "vit_small": BackboneSize(embed=384, depth=12, heads=6),
    "vit_base": VIT_BASE,
}
"""Names of the self-supervised methods; their "small" is DeiT's, not that of an old timm."""


class PatchRecipe(Params):
    """A network on patches, whose `backbone` is sizes or one of the names that its method knows.

    Attributes:
        stride: Step between patches in pixels, one number or (vertical, horizontal).
        drop_path: Stochastic depth of the last block.
    """

    names: ClassVar[Mapping[str, Params]]

    patch: int = Field(16, ge=1)
    stride: int | tuple[int, int] = 16
    drop_path: float = Field(0.1, ge=0, lt=1)

    @field_validator("backbone", mode="before", check_fields=False)
    @classmethod
    def _sizes_of_a_name(cls, value: Any) -> Any:
        if isinstance(value, str) and value not in cls.names:
            raise ValueError(f"sizes or one of {', '.join(cls.names)}{nearest(value, cls.names)}")
        return cls.names[value] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _stride_is_positive(self) -> Self:
        if min(self.strides) < 1:
            raise ValueError("a stride of at least 1")
        return self

    @property
    def strides(self) -> tuple[int, int]:
        """Step between patches, (vertical, horizontal)."""
        return (self.stride, self.stride) if isinstance(self.stride, int) else self.stride


class TransformerRecipe(PatchRecipe):
    """A vision transformer.

    Attributes:
        backbone: Sizes, or one of the names of the method.
    """

    names: ClassVar[Mapping[str, BackboneSize]] = PLAIN_SIZES

    backbone: BackboneSize = VIT_BASE

    @property
    def shape(self) -> TransformerShape:
        """Sizes of the transformer."""
        return self.backbone.shape(self.drop_path)
