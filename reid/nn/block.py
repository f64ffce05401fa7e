"""Pre-norm transformer block with fused attention."""

import torch.nn.functional as F
from timm.layers import DropPath, Mlp
from torch import Tensor, nn


class Attention(nn.Module):
    """Multi-head self-attention, softmax(q kᵀ · scale) v, with one linear layer for q, k and v.

    Differs from timm's: the scale can be set, and it can be limited to the first tokens' queries.
    """

    def __init__(self, width: int, heads: int, *, qkv_bias: bool, scale: float | None) -> None:
        super().__init__()
        self.heads = heads
        self.scale = scale
        self.qkv = nn.Linear(width, 3 * width, bias=qkv_bias)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor, *, queries: int | None = None) -> Tensor:
        """Attend from the first `queries` tokens (all if None) to all of [B, N, D]."""
        B, N, D = tokens.shape
        if queries is None:
            q, k, v = self.qkv(tokens).view(B, N, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        else:
            weight, bias = self.qkv.weight, self.qkv.bias
            q_bias, kv_bias = (None, None) if bias is None else (bias[:D], bias[D:])
            q = F.linear(tokens[:, :queries], weight[:D], q_bias)
            q = q.view(B, queries, self.heads, -1).transpose(1, 2)
            k, v = (
                F.linear(tokens, weight[D:], kv_bias)
                .view(B, N, 2, self.heads, -1)
                .permute(2, 0, 3, 1, 4)
            )
        out = F.scaled_dot_product_attention(q, k, v, scale=self.scale)
        return self.proj(out.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]

    def weights(self, tokens: Tensor, *, queries: int | None = None) -> Tensor:
        """Return softmax(q kᵀ · scale), [B, heads, queries, N], which `forward` never holds."""
        B, N, D = tokens.shape
        bias = None if self.qkv.bias is None else self.qkv.bias[: 2 * D]
        both = F.linear(tokens, self.qkv.weight[: 2 * D], bias)
        q, k = both.view(B, N, 2, self.heads, -1).permute(2, 0, 3, 1, 4)
        scale = q.shape[-1] ** -0.5 if self.scale is None else self.scale
        return (q[:, :, :queries] @ k.transpose(2, 3) * scale).softmax(dim=-1)  # type: ignore[no-any-return]


class Block(nn.Module):
    """x + attention(norm x), then x + mlp(norm x), with stochastic depth on both sums.

    Args:
        width: Length D of a token.
        mlp_ratio: Hidden size of the perceptron relative to D.
        qk_scale: Factor of the attention logits; None means the head size to the power -1/2.
        drop_path: Probability that a sample skips a sum in training.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        mlp_ratio: float = 4.0,
        qkv_bias: bool = True,
        qk_scale: float | None = None,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads, qkv_bias=qkv_bias, scale=qk_scale)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = Mlp(width, int(width * mlp_ratio))
        self.drop_path = DropPath(drop_path)

    def forward(self, tokens: Tensor, *, outputs: int | None = None) -> Tensor:
        """Return the first `outputs` tokens (all if None) of the block's output on [B, N, D].

        The last block of a classifier is needed for its class token alone; the other tokens then
        serve only as keys and values, which saves five sixths of the block's multiplications.
        """
        attended = self.attn(self.norm1(tokens), queries=outputs)
        out = tokens[:, :outputs] + self.drop_path(attended)
        return out + self.drop_path(self.mlp(self.norm2(out)))  # type: ignore[no-any-return]
