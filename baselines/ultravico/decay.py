"""UltraViCo's attention: positive logits of keys outside the training window around a query are made smaller."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from miga.engine.attention import Grid, Heads, attention_of, scores

Tokens = Int[Tensor, "*size"]


@dataclass(frozen=True)
class Decay:
    """Which pairs of tokens lose how much.

    window: latent frames of the training window, half of it on either side of a query.
    distance: of a pair, counted in tokens or in whole frames; a pair is far beyond half a window.
    centred: keys lose their mean over all tokens first, which decides which logits are positive.
    cut: the queries of frame 0 and the first one of frame 1 do not see keys beyond the first `window` frames (and the
        first token after them).
    beta: factor in place of alpha where a far pair lies within `gamma` frames of a multiple of `period` frames.
    """

    window: int
    alpha: float = 0.9
    distance: Literal["tokens", "frames"] = "tokens"
    centred: bool = True
    cut: bool = True
    beta: float | None = None
    period: int | None = None
    gamma: int = 0

    def far(self, query: Tokens, key: Tokens, p: int) -> Bool[Tensor, "*size"]:
        """Of token numbers, p of them in a frame."""
        if self.distance == "frames":
            return 2 * (query // p - key // p).abs() > self.window
        return 2 * (query - key).abs() > p * self.window

    def hidden(self, query: Tokens, key: Tokens, p: int) -> Bool[Tensor, "*size"]:
        """Pairs that do not see each other."""
        return (query <= p) & (key > self.window * p) & self.cut

    def risky(self, query: Tokens, key: Tokens, p: int) -> Bool[Tensor, "*size"]:
        """Pairs about a multiple of the period apart."""
        apart = (query // p - key // p).abs()
        off = (apart + self.gamma) % self.period
        return (apart + self.gamma >= self.period) & (off <= 2 * self.gamma)


def decayed_attention(q: Heads, k: Heads, v: Heads, grid: Grid, *, decay: Decay) -> Heads:
    """Attention over all frames with decay of far logits. Memory is linear in frames, cost quadratic."""
    p = q.shape[3]
    if decay.centred:
        k = k - k.mean((2, 3), keepdim=True)
    queries, keys = q.flatten(2, 3), k.flatten(2, 3)
    key = torch.arange(keys.shape[2], device=q.device)

    def logits(part):
        query = key[part, None]
        found = scores(queries[:, :, part], keys)
        far = decay.far(query, key, p)
        factor = torch.where(far, decay.alpha, 1.0)
        if decay.beta is not None:
            factor = torch.where(far & decay.risky(query, key, p), decay.beta, factor)
        found = torch.where(found > 0, factor * found, found)
        return [(slice(None), found.masked_fill(decay.hidden(query, key, p), -torch.inf))]

    return attention_of(logits, v)
