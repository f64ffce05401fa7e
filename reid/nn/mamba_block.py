"""Pre-norm residual block around a mixer, with the sum put off (Mamba, arXiv 2312.00752)."""

from timm.layers import DropPath
from torch import Tensor, nn

from reid.nn.precision import at_least_single

NORM_FLOOR = 1e-5


class MambaBlock(nn.Module):
    """residual + hidden, norm, mixer; the mixer's output is added by the next block or norm.

    So stochastic depth in a block acts on the output of the block before it. The residual stream
    is float32 whatever the precision of the mixer.

    Args:
        mixer: Maps [B, L, D] to [B, L, D].
        width: Length D of a token.
        drop_path: Probability that a sample skips the sum in training.
    """

    def __init__(self, mixer: nn.Module, width: int, drop_path: float) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(width, eps=NORM_FLOOR)
        self.mixer = mixer
        self.drop_path = DropPath(drop_path)

    def forward(self, hidden: Tensor, residual: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the mixer's output and the sum that it belongs to, both [B, L, D].

        Args:
            hidden: [B, L, D] output of the block before.
            residual: [B, L, D] sum of all before that, None in front of the first block.
        """
        residual = join_residual(hidden, residual, self.drop_path)
        return self.mixer(self.norm(residual)), residual


def join_residual(hidden: Tensor, residual: Tensor | None, drop_path: DropPath) -> Tensor:
    """Return the sum of the stream and the last mixer's output, at least in float32."""
    if residual is None:
        return at_least_single(hidden)
    return residual + drop_path(hidden)  # type: ignore[no-any-return]


def drop_rate(rate: float, index: int, depth: int) -> float:
    """Return the rate of stochastic depth in block `index`: 0 twice, then rising evenly.

    A block drops the output of the one before it, so the steps lag by one block, and the full
    `rate` is left for the sum in front of the final norm.
    """
    return rate * max(index - 1, 0) / max(depth - 1, 1)
