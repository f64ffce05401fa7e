"""From all tokens of an image to one feature."""

from torch import Tensor

from reid.errors import ParamsError
from reid.methods.personvit.recipe import Pooling

GEM_POWER = 3  # fixed in the published code, where it is not learned
GEM_FLOOR = 1e-6
GROUP = 4  # consecutive tokens of `average_maximum`


def pool(tokens: Tensor, pooling: Pooling) -> Tensor:
    """Turn normalised tokens [B, 1 + N, D], the class token first, into features [B, D].

    Raises:
        ParamsError: `average_maximum` and patches that make no whole groups.
    """
    cls, patches = tokens[:, 0], tokens[:, 1:]
    if pooling == "class":
        return cls
    if pooling == "gem":
        powers = patches.clamp_min(GEM_FLOOR).pow(GEM_POWER)
        return cls + powers.mean(dim=1).pow(1 / GEM_POWER)
    if pooling == "average":
        return patches.mean(dim=1)
    if pooling == "maximum":
        return patches.amax(dim=1)
    if patches.shape[1] % GROUP:
        raise ParamsError(
            f"model.pooling average_maximum of {patches.shape[1]} patches",
            f"a multiple of {GROUP}",
            "Change `model.pooling` or the image size.",
        )
    groups = patches.reshape(len(patches), -1, GROUP, patches.shape[2])
    return groups.amax(dim=2).mean(dim=1)
