"""The purifier: what the spectrum says is taken out of the specific features."""

from typing import NamedTuple

from torch import Tensor, nn

from reid.methods.idkl.recipe import ModelRecipe


class Purified(NamedTuple):
    """The maps of a purification, each [B, C, h, w].

    Attributes:
        raw: As they came.
        normed: Normalised within every image, which takes away much of its spectrum.
        reduced: What its mask leaves of `normed`.
        enhanced: What its mask leaves of `raw`.
        purified: Their combination.
    """

    raw: Tensor
    normed: Tensor
    reduced: Tensor
    enhanced: Tensor
    purified: Tensor


class Mask(nn.Sequential):
    """Weights between 0 and 1, of every cell or, after a mean over the map, of channels."""

    def __init__(self, channels: int, reduction: int, pooled: bool) -> None:
        hidden = channels // reduction
        super().__init__(
            nn.Conv2d(channels, hidden, 1, bias=False),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, channels, 1, bias=False),
            nn.Sigmoid(),
        )
        self.pooled = pooled

    def forward(self, maps: Tensor) -> Tensor:
        """Return the weights [B, C, h, w], or [B, C, 1, 1] where pooled, for maps [B, C, h, w]."""
        if self.pooled:
            maps = maps.mean(dim=(2, 3), keepdim=True)
        weights: Tensor = super().forward(maps)  # type: ignore[no-untyped-call]
        return weights


class Purifier(nn.Module):
    """Instance norm and two masks (section 3.3 of the paper).

    Differs from the published code: the combination is computed in one pass from its factors.
    """

    def __init__(self, channels: int, model: ModelRecipe) -> None:
        super().__init__()
        pooled = model.mask == "pooled"
        self.norm = nn.InstanceNorm2d(channels, affine=True, track_running_stats=True)
        self.reduce = Mask(channels, model.mask_reduction, pooled)
        self.enhance = Mask(channels, model.mask_reduction, pooled)

    def forward(self, maps: Tensor) -> Tensor:
        """Return the purified maps alone."""
        normed = self.norm(maps)
        purified: Tensor = self.reduce(normed) * self.enhance(maps) * (maps + normed)
        return purified

    def parts(self, maps: Tensor) -> Purified:
        """Return everything that the losses compare."""
        normed = self.norm(maps)
        reducing, enhancing = self.reduce(normed), self.enhance(maps)
        purified = reducing * enhancing * (maps + normed)
        return Purified(maps, normed, reducing * normed, enhancing * maps, purified)
