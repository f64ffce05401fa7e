"""Recipe of a pretraining: self-distillation (DINO) with masked image modelling (iBOT).

The pretraining code of PersonViT (arXiv 2408.05398) is not published. The defaults are those of
iBOT (arXiv 2111.07832) with the settings for people of TransReID-SSL (arXiv 2111.12084).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from reid.nn.transformer_recipe import TransformerRecipe
from reid.params import Params, merge, parse_params, read_yaml
from reid.recipe import Precision, Triple

Range = tuple[float, float]


class ViewsRecipe(Params):
    """Size and normalisation of the crops, and how they are drawn.

    Attributes:
        global_size: Height and width in pixels of the two global crops.
        local_size: Height and width in pixels of the local crops.
        local_crops: Local crops per image.
        source_size: Height and width that images are brought to before crops are cut from them.
        global_scale, local_scale: Smallest and largest share of the image's area.
        aspect: Smallest and largest width over height of a crop, in pixels of the image. The
            default is 3/4 to 4/3 of an upright person's 1 to 2, so that nobody is squeezed.
        blur: Smallest and largest width of the blur in pixels of the crop.
        jitter: Strength of the changes of brightness, contrast, saturation and hue; 1 is published.
            Less of it leaves in the features what clothes' colours say about a person.
        grey: Share of the crops without colour.
        mean, std: Normalisation.
    """

    global_size: tuple[int, int] = (256, 128)
    local_size: tuple[int, int] = (128, 64)
    local_crops: int = Field(8, ge=0)
    source_size: tuple[int, int] = (384, 192)
    global_scale: Range = (0.4, 1.0)
    local_scale: Range = (0.05, 0.4)
    aspect: Range = (0.375, 2 / 3)
    blur: Range = (0.1, 2.0)
    jitter: float = Field(1.0, ge=0, le=1)
    grey: float = Field(0.2, ge=0, le=1)
    mean: Triple = (0.485, 0.456, 0.406)
    std: Triple = (0.229, 0.224, 0.225)

    @model_validator(mode="after")
    def _ranges_ascend(self) -> Self:
        for name in ("global_scale", "local_scale", "aspect", "blur"):
            low, high = getattr(self, name)
            if not 0 < low <= high or ("scale" in name and high > 1):
                raise ValueError(f"{name} as a smaller and a larger number above 0")
        return self


class MaskRecipe(Params):
    """Which patches of the global crops the student does not see.

    Attributes:
        ratios: Shares of masked patches; each image takes one of them.
        spreads: For each ratio, how far it may vary up and down, uniformly.
        shape: `block` for rectangles, `rand` for single patches.
        aspect: Smallest aspect of a rectangle; the largest is its inverse.
        first_epoch: No patch is masked before this epoch, counted from 0.
    """

    ratios: tuple[float, ...] = Field((0.0, 0.3), min_length=1)
    spreads: tuple[float, ...] = (0.0, 0.2)
    shape: Literal["block", "rand"] = "block"
    aspect: float = Field(0.3, gt=0, le=1)
    first_epoch: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _ratios_are_shares(self) -> Self:
        if len(self.ratios) != len(self.spreads):
            raise ValueError("as many spreads as ratios")
        for ratio, spread in zip(self.ratios, self.spreads, strict=True):
            if not 0 <= ratio - spread <= ratio + spread < 1:
                raise ValueError("ratios of at least 0 and below 1, with their spreads")
        return self


class HeadRecipe(Params):
    """The head on class token and patches.

    Attributes:
        prototypes: Length K of its output.
        hidden: Width of the hidden layers.
        bottleneck: Length of the vector that is compared with the prototypes.
        layers: Linear layers up to the bottleneck.
        shared: Class token and patches share the prototypes.
        frozen_gain: All prototypes keep length 1 (advised for a large backbone).
    """

    prototypes: int = Field(8192, ge=2)
    hidden: int = Field(2048, ge=1)
    bottleneck: int = Field(256, ge=1)
    layers: int = Field(3, ge=2)
    shared: bool = True
    frozen_gain: bool = False


class TemperatureRecipe(Params):
    """Temperature of the teacher: linear from `start` to `end` over the warm-up, then constant."""

    start: float = Field(0.04, gt=0)
    end: float = Field(0.07, gt=0)


class DistillationRecipe(Params):
    """The losses.

    Attributes:
        lambda1: Weight of the loss on class tokens.
        lambda2: Weight of the loss on masked patches; 0 masks nothing and is plain DINO.
        student_temperature: Temperature of the student, for both losses.
        class_temperature, patch_temperature: Of the teacher.
        temperature_epochs: Length of their warm-up.
        centre_momentum: How much of the centres stays in a step.
        separate_clean_view: Take the class tokens of the student's global crops from another pass
            without masks, rather than from the masked crops as the reference code does.
    """

    lambda1: float = Field(1.0, ge=0)
    lambda2: float = Field(1.0, ge=0)
    student_temperature: float = Field(0.1, gt=0)
    class_temperature: TemperatureRecipe = TemperatureRecipe()
    patch_temperature: TemperatureRecipe = TemperatureRecipe()
    temperature_epochs: int = Field(30, ge=0)
    centre_momentum: float = Field(0.9, ge=0, lt=1)
    separate_clean_view: bool = False

    @model_validator(mode="after")
    def _something_is_learned(self) -> Self:
        if self.lambda1 + self.lambda2 == 0:
            raise ValueError("lambda1 or lambda2 above 0")
        return self


class PretrainOptimiserRecipe(Params):
    """AdamW and its schedules, all per step.

    Attributes:
        learning_rate: Peak for a batch of 256 images; it grows with the batch.
        final_learning_rate: At the end of the cosine.
        warmup_epochs: Linear rise from 0.
        weight_decay, final_weight_decay: Start and end of a cosine.
        momentum: Start of the teacher's momentum; it ends at 1.
        clip: Largest norm of each parameter's gradient, null for none.
        freeze_last_layer: Epochs in which the prototypes stay as they are.
    """

    learning_rate: float = Field(5e-4, gt=0)
    final_learning_rate: float = Field(1e-6, ge=0)
    warmup_epochs: int = Field(10, ge=0)
    weight_decay: float = Field(0.04, ge=0)
    final_weight_decay: float = Field(0.4, ge=0)
    momentum: float = Field(0.996, ge=0, le=1)
    clip: float | None = Field(3.0, gt=0)
    freeze_last_layer: int = Field(1, ge=0)


class CollapseRecipe(Params):
    """When a pretraining is stopped because it no longer learns.

    Attributes:
        lowest_entropy, highest_entropy: Bounds of the teacher's entropy over its maximum, log K.
        lowest_deviation: Bound of the deviation of the teacher's features; 1 is a random spread.
        patience: Successive checks outside the bounds that are borne.
        first_epoch: No check counts before this epoch, counted from 0, as fresh weights look
            collapsed.
    """

    lowest_entropy: float = Field(0.01, ge=0, le=1)
    highest_entropy: float = Field(0.999, ge=0, le=1)
    lowest_deviation: float = Field(0.01, ge=0)
    patience: int = Field(3, ge=1)
    first_epoch: int = Field(5, ge=0)


class PretrainRecipe(Params):
    """Everything that decides a pretraining, beside data and seed.

    Attributes:
        batch: Images per step, over all processes.
        keep_every: Keep the backbone every so many epochs beside the last; null for the last alone.
            Too long a pretraining harms, and only fine-tuning shows it.
    """

    model: TransformerRecipe = TransformerRecipe()
    views: ViewsRecipe = ViewsRecipe.model_validate({})
    mask: MaskRecipe = MaskRecipe.model_validate({})
    head: HeadRecipe = HeadRecipe.model_validate({})
    loss: DistillationRecipe = DistillationRecipe.model_validate({})
    optimiser: PretrainOptimiserRecipe = PretrainOptimiserRecipe.model_validate({})
    collapse: CollapseRecipe = CollapseRecipe.model_validate({})
    epochs: int = Field(300, ge=1)
    batch: int = Field(512, ge=1)
    keep_every: int | None = Field(None, ge=1)
    precision: Precision = "fp32"


def load_pretrain_recipe(path: Path, overrides: Mapping[str, Any] | None = None) -> PretrainRecipe:
    """Read a recipe and lay `overrides` over it.

    Raises:
        ParamsError: The file, a key or a value is wrong.
    """
    return parse_params(merge(read_yaml(path), overrides or {}), PretrainRecipe, str(path))
