"""The recipe: everything that decides the weights of one training run, beside data and seed.

A method adds its own sections by subclassing `Recipe`; the sections here are shared by all.
"""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from reid.params import Params

Precision = Literal["fp32", "bf16", "fp16"]
Triple = tuple[float, float, float]


def _ascending(gains: tuple[float, float]) -> tuple[float, float]:
    lowest, highest = gains
    if not 0 <= lowest <= highest:
        raise ValueError("a lowest gain from 0 on, then a highest that is no lower")
    return gains


def _in_order(bounds: tuple[float, float]) -> tuple[float, float]:
    if bounds[0] > bounds[1]:
        raise ValueError("the smallest first, then the largest")
    return bounds


Gains = Annotated[tuple[float, float], AfterValidator(_ascending)]
_Share = Annotated[float, Field(gt=0, le=1)]
_Ratio = Annotated[float, Field(gt=0)]


class ImageRecipe(Params):
    """Size and normalisation of the input; pixels are scaled to [0, 1] before."""

    height: int = Field(256, ge=16)
    width: int = Field(128, ge=16)
    mean: Triple = (0.5, 0.5, 0.5)
    std: Triple = (0.5, 0.5, 0.5)


class JitterRecipe(Params):
    """Random changes of an image's colours, one after another in random order.

    Attributes:
        brightness: Lowest and highest gain.
        contrast: Lowest and highest gain.
        saturation: Lowest and highest gain.
        hue: Largest turn, as a share of the circle of hues.
    """

    brightness: Gains = (1.0, 1.0)
    contrast: Gains = (1.0, 1.0)
    saturation: Gains = (1.0, 1.0)
    hue: float = Field(0.0, ge=0, le=0.5)


class AugmentRecipe(Params):
    """Random changes to training images, in this order.

    Attributes:
        flip: Probability of a horizontal flip.
        pad: Border in pixels on every side, before a random crop back to size.
        fill: Value of that border in all channels: 0 is black, 255 white.
        rotate: Largest angle in degrees of a rotation about the middle (0 = off).
        colour: Largest relative change of each channel's gain (0 = off).
        jitter: Changes of brightness, contrast, saturation and hue; null for none.
        channel: Probability that one channel, drawn at random, takes the place of all three, so
            that a visible image shows no more of colour than an infrared one.
        grey: Probability that the luma takes the place of all three channels. Drawn for itself:
            where one channel did so already, there is nothing left to change.
        occlude: Length of the white square that covers a part of every image, at most, as a share
            of the shorter side (0 = off).
        erase: Probability that one rectangle is erased.
        erase_with: `noise` is standard normal; `mean` is 0 after normalisation.
        erase_area: Smallest and largest area of the rectangle, as shares of the image.
        erase_ratio: Smallest and largest ratio of its height to its width.
    """

    flip: float = Field(0.5, ge=0, le=1)
    pad: int = Field(10, ge=0)
    fill: int = Field(0, ge=0, le=255)
    rotate: float = Field(0.0, ge=0, le=180)
    colour: float = Field(0.0, ge=0, lt=1)
    jitter: JitterRecipe | None = None
    channel: float = Field(0.0, ge=0, le=1)
    grey: float = Field(0.0, ge=0, le=1)
    occlude: float = Field(0.0, ge=0, lt=1)
    erase: float = Field(0.5, ge=0, le=1)
    erase_with: Literal["noise", "mean"] = "noise"
    erase_area: Annotated[tuple[_Share, _Share], AfterValidator(_in_order)] = (0.02, 1 / 3)
    erase_ratio: Annotated[tuple[_Ratio, _Ratio], AfterValidator(_in_order)] = (0.3, 1 / 0.3)


class SamplerRecipe(Params):
    """Batches of `identities` people with `images` pictures each.

    `identity` draws the people at random. `cross_modal` does so too, and half of each person's
    pictures are infrared, half visible. `graph` gives every person a batch with those whom the
    network takes for the nearest, judged anew in every epoch by one picture of each.

    Attributes:
        images: For `cross_modal`: an even number.
        max_classes: For `graph`: people, drawn at random, who are judged and have a batch in an
            epoch; null for all.
    """

    name: Literal["identity", "cross_modal", "graph"] = "identity"
    identities: int = Field(16, ge=2)
    images: int = Field(4, ge=2)
    max_classes: int | None = Field(None, ge=2)

    @model_validator(mode="after")
    def _half_of_the_images_per_modality(self) -> Self:
        if self.name == "cross_modal" and self.images % 2:
            raise ValueError("an even number of images with the name cross_modal")
        return self

    @model_validator(mode="after")
    def _enough_classes_for_a_batch(self) -> Self:
        if self.max_classes is not None:
            if self.name != "graph":
                raise ValueError("max_classes with the name graph, and with no other")
            if self.max_classes < self.identities:
                raise ValueError("max_classes of at least the identities of a batch")
        return self


class OptimiserRecipe(Params):
    """Optimiser and its parameter groups.

    Attributes:
        nesterov: For `sgd`: look ahead by the momentum.
        backbone_factor: Learning rate of the backbone relative to that of all other parts, where
            the network names its backbone.
        bias_factor: Learning rate of biases relative to that of weights.
        bias_weight_decay: Weight decay of biases.
        clip: Largest norm of the gradients of all parameters together, or of each part that the
            method clips by itself; null for no limit.
    """

    name: Literal["sgd", "adam", "adamw"] = "sgd"
    learning_rate: float = Field(gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(1e-4, ge=0)
    nesterov: bool = False
    backbone_factor: float = Field(1.0, gt=0)
    bias_factor: float = Field(2.0, gt=0)
    bias_weight_decay: float = Field(1e-4, ge=0)
    clip: float | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _nesterov_has_momentum(self) -> Self:
        if self.nesterov and (self.name != "sgd" or not self.momentum):
            raise ValueError("nesterov with the name sgd and a momentum, and with no other")
        return self


class ScheduleRecipe(Params):
    """Learning rate: linear warm-up, then a cosine or steps.

    `cosine` and `step` count epochs alone. `iteration_cosine` warms up batch by batch, and then
    takes one step of its cosine per epoch. `adaptive` multiplies the rate once by 0.1, when the
    loss has fallen far enough below that of the second epoch, and ends half as many epochs later
    as it took until then.

    Attributes:
        epochs: For `adaptive`: at most.
        warmup_epochs: For all but `iteration_cosine`.
        milestones: For `step`: epochs after which the rate is multiplied by 0.1.
        drop: For `adaptive`: share of the second epoch's loss below which the rate falls.
        lag: For all but `iteration_cosine`: epochs that the schedule is behind; 1 where a published
            loop moves it on after the epoch, so that the first epoch trains at the very start of
            the warm-up.
        warmup_iterations: For `iteration_cosine`: batches of the warm-up.
        cosine_epochs: For `iteration_cosine`: epochs in which the cosine falls to its floor. It
            rises again behind them, as a cosine does.
    """

    name: Literal["cosine", "step", "iteration_cosine", "adaptive"] = "cosine"
    epochs: int = Field(120, ge=1)
    warmup_epochs: int = Field(5, ge=0)
    milestones: tuple[int, ...] = ()
    drop: float = Field(0.7, gt=0, lt=1)
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
