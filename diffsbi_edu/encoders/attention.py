"""Attention: each of M queries takes a weighted mean of N values, with weights that it chooses."""

from __future__ import annotations

import torch
from torch import nn


class AttentionBlock(nn.Module):
    """MAB(Y, X): Y (B, M, W) looks at X (B, N, W), then thinks by itself.

        H = Y + attention(Y, X, X),    MAB(Y, X) = H + MLP(H)

    (Lee et al. 2019, equations 6 and 7). Unlike there, what goes *into* attention and MLP is
    normalised, not what comes out (Xiong et al. 2020): the untrained network is then close to the
    identity, and can be trained at a high learning rate with a short warm-up.

    Args:
        width: W.
        heads: attentions side by side, on W / heads units each.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_y, self.norm_x = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        # No biases: one of the keys cancels in the softmax, one of the values is `leave`'s.
        self.key_value = nn.Linear(width, 2 * width, bias=False)
        self.leave = nn.Linear(width, width)
        self.think = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width)
        )

    def forward(
        self, y: torch.Tensor, x: torch.Tensor, mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """(B, M, W); mask (B, N) is True for those of X that may be looked at."""
        query = self._split(self.query(self.norm_y(y)))
        key, value = (self._split(t) for t in self.key_value(self.norm_x(x)).chunk(2, -1))
        allowed = None if mask is None else mask[:, None, None, :]
        seen = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=allowed)
        h = y + self.leave(seen.transpose(1, 2).flatten(2))
        out: torch.Tensor = h + self.think(h)
        return out

    def _split(self, t: torch.Tensor) -> torch.Tensor:
        """(B, N, W) → (B, heads, N, W / heads)."""
        return t.unflatten(-1, (self.heads, -1)).transpose(1, 2)
