"""Recipe of ReIDMamba."""

from collections.abc import Mapping
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from reid.losses.triplet_variants import TripletVariant
from reid.nn.scan.backends import Backend
from reid.nn.transformer_recipe import PatchRecipe
from reid.params import Params
from reid.recipe import LossRecipe, Recipe

Fusion = Literal["max", "mean", "gem"]


class MambaSize(Params):
    """Sizes of the backbone.

    Attributes:
        embed: Length of a token.
        depth: Blocks, of which every branch owns a copy of the last two.
    """

    embed: int = Field(ge=1)
    depth: int = Field(ge=3)


SIZES = {
    "mamba_tiny": MambaSize(embed=192, depth=24),
    "mamba_small": MambaSize(embed=384, depth=24),
    "mamba_base": MambaSize(embed=768, depth=24),
    "mamba_large": MambaSize(embed=1024, depth=48),
}
"""Sizes of Mamba-R."""


class CameraRecipe(Params):
    """Whether the camera is embedded; off if the training data hold only one.

    Attributes:
        weight: Factor of the embedding.
    """

    camera: bool = True
    weight: float = 3.0


class ModelRecipe(PatchRecipe):
    """The network.

    Attributes:
        backbone: Sizes, or one of the names of Mamba-R.
        drop_path: Stochastic depth of the last sum; it grows linearly from 0 at the first.
        tokens: Class tokens.
        branches: Copies of the last two blocks. Each has half as many class tokens as the one
            before, so that the first keeps all of them.
        fusion: How class tokens are put together where a branch has fewer.
        reduction: Every class token of the first branch shrinks by this factor in the feature.
        scan: Backend of the selective scan.
        recompute: Compute the inside of every block again in the backward pass, instead of keeping
            it: less than half the memory, about a third more time.
    """

    names: ClassVar[Mapping[str, MambaSize]] = SIZES

    backbone: MambaSize = SIZES["mamba_small"]
    drop_path: float = Field(0.3, ge=0, lt=1)
    tokens: int = Field(12, ge=1)
    branches: int = Field(3, ge=1)
    fusion: Fusion = "max"
    reduction: int = Field(4, ge=1)
    side_information: CameraRecipe = CameraRecipe()
    scan: Backend = "auto"
    recompute: bool = False

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        group = 2 ** (self.branches - 1)
        if self.tokens % group:
            raise ValueError(
                f"tokens that {self.branches} branches can halve: a multiple of {group}"
            )
        if self.backbone.embed % self.reduction:
            raise ValueError(f"a reduction that divides embed {self.backbone.embed}")
        return self


class RankRecipe(Params):
    """The rank-aware regularisers, which compare branches with each other.

    Attributes:
        intra_weight: Weight of the one on images of a person; null is 1 with several branches and
            0 with one.
        inter_weight: Weight of the one on centres of persons; null as above.
        temperature: Difference of cosine similarities that counts as clear.
    """

    intra_weight: float | None = Field(None, ge=0)
    inter_weight: float | None = Field(None, ge=0)
    temperature: float = Field(0.1, gt=0)

    def weights(self, branches: int) -> tuple[float, float]:
        """Return both weights for a network with this many branches."""
        default = 1.0 if branches > 1 else 0.0
        intra, inter = self.intra_weight, self.inter_weight
        return default if intra is None else intra, default if inter is None else inter


class ReidMambaLossRecipe(LossRecipe):
    """Identity, triplet and rank losses, all as means over branches.

    Attributes:
        label_smoothing: Share of the target that the other classes have together.
        triplet: Which distances the triplet loss compares.
    """

    label_smoothing: float = Field(0.1, ge=0, lt=1)
    margin: float | None = 1.2
    triplet: TripletVariant = TripletVariant()
    rank: RankRecipe = RankRecipe()


class ReidMambaRecipe(Recipe):
    """Everything that decides a ReIDMamba training run."""

    method: Literal["reidmamba"] = "reidmamba"
    model: ModelRecipe = ModelRecipe()
    loss: ReidMambaLossRecipe = ReidMambaLossRecipe.model_validate({})

    @model_validator(mode="after")
    def _ranks_can_be_compared(self) -> Self:
        branches, sampler = self.model.branches, self.sampler
        intra, inter = self.loss.rank.weights(branches)
        if branches == 1 and (intra or inter):
            raise ValueError(
                "2 model.branches for a positive loss.rank.intra_weight or inter_weight, "
                "which may be null or 0"
            )
        if intra and sampler.images < 3:
            raise ValueError("3 sampler.images for loss.rank.intra_weight, or its weight at 0")
        if inter and sampler.identities < 3:
            raise ValueError("3 sampler.identities for loss.rank.inter_weight, or its weight at 0")
        return self
