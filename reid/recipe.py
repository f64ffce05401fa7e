"""The recipe: everything that decides the weights of one training run, beside data and seed.

A method adds its own sections by subclassing `Recipe`; the sections here are shared by all.
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from reid.params import Params

Precision = Literal["fp32", "bf16", "fp16"]
Triple = tuple[float, float, float]


class ImageRecipe(Params):
    """Size and normalisation of the input; pixels are scaled to [0, 1] before."""

    height: int = Field(256, ge=16)
    width: int = Field(128, ge=16)
    mean: Triple = (0.5, 0.5, 0.5)
    std: Triple = (0.5, 0.5, 0.5)


class AugmentRecipe(Params):
    """Random changes to training images, in this order.

    Attributes:
        flip: Probability of a horizontal flip.
        pad: Black border in pixels on every side, before a random crop back to size.
        colour: Largest relative change of each channel's gain (0 = off).
        erase: Probability that one rectangle is replaced by standard normal noise.
    """

    flip: float = Field(0.5, ge=0, le=1)
    pad: int = Field(10, ge=0)
    colour: float = Field(0.0, ge=0, lt=1)
    erase: float = Field(0.5, ge=0, le=1)


class SamplerRecipe(Params):
    """P x K batches: `identities` people with `images` pictures each."""

    identities: int = Field(16, ge=2)
    images: int = Field(4, ge=2)


class OptimiserRecipe(Params):
    """Optimiser and its parameter groups.

    Attributes:
        bias_factor: Learning rate of biases relative to that of weights.
        bias_weight_decay: Weight decay of biases.
        clip: Largest norm of the gradients of all parameters together; null for no limit.
    """

    name: Literal["sgd", "adam", "adamw"] = "sgd"
    learning_rate: float = Field(gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(1e-4, ge=0)
    bias_factor: float = Field(2.0, gt=0)
    bias_weight_decay: float = Field(1e-4, ge=0)
    clip: float | None = Field(None, gt=0)


class ScheduleRecipe(Params):
    """Learning rate: linear warm-up, then a cosine or steps.

    `cosine` and `step` count epochs alone. `iteration_cosine` warms up batch by batch, and then
    takes one step of its cosine per epoch.

    Attributes:
        warmup_epochs: For `cosine` and `step`.
        milestones: For `step`: epochs after which the rate is multiplied by 0.1.
        lag: For `cosine` and `step`: epochs that the schedule is behind; 1 where a published loop
            moves it on after the epoch, so that the first epoch trains at the very start of the
            warm-up.
        warmup_iterations: For `iteration_cosine`: batches of the warm-up.
        cosine_epochs: For `iteration_cosine`: epochs in which the cosine falls to its floor. It
            rises again behind them, as a cosine does.
    """

    name: Literal["cosine", "step", "iteration_cosine"] = "cosine"
    epochs: int = Field(120, ge=1)
    warmup_epochs: int = Field(5, ge=0)
    milestones: tuple[int, ...] = ()
    lag: int = Field(0, ge=0)
    warmup_iterations: int = Field(0, ge=0)
    cosine_epochs: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _cosine_has_its_length(self) -> Self:
        if (self.name == "iteration_cosine") != (self.cosine_epochs is not None):
            raise ValueError("cosine_epochs with the name iteration_cosine, and with no other")
        return self


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


class Recipe(Params):
    """Sections shared by all methods.

    Attributes:
        pretrained: Weights to start from: a file, or `timm:<model name>` where the hub is at hand.
        precision: fp32, or bf16/fp16 autocast, in training and in embedding.
        embed_batch: Images per forward pass of the embed stage.
        embed_flip: Add the features of the mirrored image.
    """

    method: str
    pretrained: str | None = None
    image: ImageRecipe = ImageRecipe.model_validate({})
    augment: AugmentRecipe = AugmentRecipe.model_validate({})
    sampler: SamplerRecipe = SamplerRecipe.model_validate({})
    optimiser: OptimiserRecipe
    schedule: ScheduleRecipe = ScheduleRecipe.model_validate({})
    precision: Precision = "fp32"
    embed_batch: int = Field(256, ge=1)
    embed_flip: bool = False
