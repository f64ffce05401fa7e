"""Recipe of PersonViT's fine-tuning."""

from typing import Literal, Self

from pydantic import Field, model_validator

from reid.nn.stem import STEM_PATCH
from reid.nn.transformer_recipe import TransformerRecipe
from reid.recipe import LossRecipe, Recipe, ScheduleRecipe

Pooling = Literal["class", "gem", "average", "maximum", "average_maximum"]


class ModelRecipe(TransformerRecipe):
    """The network.

    Attributes:
        stem: Put a small convolution network before the patches.
        pooling: The feature: the class token, or a pooling of the patch tokens (`gem` adds the
            class token to it, the others replace it).
        reduction: Length of the feature after a linear layer, or null for none.
        dropout: Share of the neck's output that the classifier does not see in training.
        neck: Take the embedding before or after the batch-norm neck.
        pretrained_ratio: Height over width of the patch grid that the pretrained weights were
            learned on; null where the file or its number of positions says it.
    """

    stem: bool = False
    pooling: Pooling = "class"
    reduction: int | None = Field(None, ge=1)
    dropout: float = Field(0.0, ge=0, lt=1)
    neck: Literal["before", "after"] = "before"
    pretrained_ratio: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _stem_has_its_patch(self) -> Self:
        if self.stem and (self.patch, *self.strides) != (STEM_PATCH,) * 3:
            raise ValueError(f"patch and stride {STEM_PATCH}, the step of the stem")
        return self


class PersonVitLossRecipe(LossRecipe):
    """Identity and triplet loss.

    Attributes:
        normalised_triplet: The triplet loss sees features of length 1.
    """

    normalised_triplet: bool = False


class LateScheduleRecipe(ScheduleRecipe):
    """The schedule with the warm-up and the lag of the published code."""

    warmup_epochs: int = Field(20, ge=0)
    lag: int = Field(1, ge=0)


class PersonVitRecipe(Recipe):
    """Everything that decides a fine-tuning run."""

    method: Literal["personvit"] = "personvit"
    model: ModelRecipe = ModelRecipe()
    loss: PersonVitLossRecipe = PersonVitLossRecipe.model_validate({})
    schedule: LateScheduleRecipe = LateScheduleRecipe()
