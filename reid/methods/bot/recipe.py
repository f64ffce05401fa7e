"""Recipe of the plain baseline."""

from typing import Literal

from pydantic import Field

from reid.params import Params
from reid.recipe import LossRecipe, Recipe


class ModelRecipe(Params):
    """The network.

    Attributes:
        backbone: Name of a convolutional network in timm.
        last_stride: Stride of the last stage; 1 doubles the resolution of its feature map.
    """

    backbone: str = "resnet50"
    last_stride: Literal[1, 2] = 1


class SmoothedLossRecipe(LossRecipe):
    """Identity and triplet loss with the values of the paper."""

    label_smoothing: float = Field(0.1, ge=0, lt=1)
    margin: float | None = 0.3


class BotRecipe(Recipe):
    """Everything that decides a training run of the baseline."""

    method: Literal["bot"] = "bot"
    model: ModelRecipe = ModelRecipe()
    loss: SmoothedLossRecipe = SmoothedLossRecipe()
