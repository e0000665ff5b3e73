"""FreeLOC's two attentions, each a set of branches: which pairs of tokens, and at which positions in time.

VRPR re-encodes the positions of far pairs, TSA leaves most far pairs out. Distances are query - key, in tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import floor

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from miga.engine.attention import Grid, Heads, Piece, attention_of, scores

Positions = list[int]  # one per frame
Tokens = Int[Tensor, "*size"]


@dataclass(frozen=True)
class Branch:
    """Pairs whose distance is in [low, high] and whose key is in [first, end), where `allowed(query, key)` says so."""

    low: int
    high: int
    query_at: Positions
    key_at: Positions
    first: int
    end: int
    allowed: Callable[[Tokens, Tokens], Bool[Tensor, "*size"]] | None = None

    def keys(self, queries: slice) -> slice:
        """Key tokens that any of these queries may see."""
        first = max(self.first, queries.start - self.high)
        return slice(first, max(first, min(self.end, queries.stop - self.low)))

    def covers(self, query: Tokens, key: Tokens) -> Bool[Tensor, "*size"]:
        apart = query - key
        covered = (apart >= self.low) & (apart <= self.high) & (key >= self.first) & (key < self.end)
        return covered if self.allowed is None else covered & self.allowed(query, key)


@dataclass(frozen=True)
class Lengths:
    """In latent frames: distances W1, W2 of VRPR and D1, D2 of TSA; frames G1, G2 and `group` that share a position;
    `shift`, where far positions of TSA begin; `clip`, the highest re-encoded position."""

    W1: int = 10
    W2: int = 14
    G1: int = 2
    G2: int = 8
    clip: int = 20
    D1: int = 8
    D2: int = 24
    group: int = 8
    shift: int = 12
    round_to: int = 128  # tokens: distances in tokens are rounded up to multiples
    end_sink: int | None = 78  # frame after which far keys are seen too

    def tokens(self, frames: int, p: int) -> int:
        """A distance in frames as one in tokens."""
        return -(-frames * p // self.round_to) * self.round_to


def vrpr_positions(frames: int, of: Lengths) -> dict[str, Positions]:
    """Positions of the nearer and the farther side of mid and far pairs, by frame."""
    farther = of.W2 - of.W2 // of.G2 - (of.W2 - of.W1) // of.G1
    return {
        "mid.late": [int(f // of.G1 + of.W1 - of.W1 / of.G1) for f in range(frames)],
        "mid.early": [f // of.G1 for f in range(frames)],
        "far.late": [min(of.clip, f // of.G2 + farther) for f in range(frames)],
        "far.early": [f // of.G2 for f in range(frames)],
    }


def tsa_positions(frames: int, of: Lengths) -> dict[str, Positions]:
    return {
        "late": [int(f // of.group + of.shift - of.shift / of.group) for f in range(frames)],
        "early": [f // of.group for f in range(frames)],
    }


def vrpr(frames: int, p: int, of: Lengths) -> dict[str, Branch]:
    """All keys but those in the gap between near and mid, which no branch of the original covers."""
    at, own, tokens = vrpr_positions(frames, of), [*range(frames)], frames * p
    near, mid, far = (of.W1 - 1) * p, of.tokens(of.W1, p), of.tokens(of.W2, p)
    return dict(
        near=Branch(-near, near, own, own, 0, tokens),
        mid_past=Branch(mid, far - 1, at["mid.late"], at["mid.early"], 0, tokens),
        mid_future=Branch(1 - far, -mid, at["mid.early"], at["mid.late"], 0, tokens),
        far_past=Branch(far, tokens, at["far.late"], at["far.early"], 0, tokens),
        far_future=Branch(-tokens, -far, at["far.early"], at["far.late"], 0, tokens),
    )


def tsa(frames: int, p: int, of: Lengths) -> dict[str, Branch]:
    """Near keys, a stripe of farther ones, and sinks: the first frame, and the end of a video of 79 frames and more."""
    at, own, tokens = tsa_positions(frames, of), [*range(frames)], frames * p
    near, far, sink = of.tokens(of.D1, p), of.tokens(of.D2, p), of.tokens(1, p)
    share = floor((of.D2 - of.D1) / (of.D1 / 2)) / (of.D2 - of.D1) if of.D2 > of.D1 else 0
    tail = tokens if of.end_sink is None else of.tokens(of.end_sink, p) + 1
    return dict(
        near=Branch(-far, far, own, own, 0, tokens, partial(visible, p, near, floor(share * p / 2), sink)),
        far_past=Branch(far + 1, tokens, at["late"], at["early"], 0, min(sink, tokens)),
        far_future=Branch(-tokens, -far - 1, at["early"], at["late"], min(tail, tokens), tokens),
    )


def visible(p: int, near: int, width: int, sink: int, query: Tokens, key: Tokens) -> Bool[Tensor, "*size"]:
    """Near pairs, pairs at about the same place of their frames, and keys of the sink."""
    return ((query - key).abs() <= near) | ((query % p - key % p).abs() < width) | (key < sink)


def branch_attention(q: Heads, k: Heads, v: Heads, grid: Grid, *, branches: Sequence[Branch]) -> Heads:
    """One softmax over the pairs of all branches, each pair with the logit at its branch's positions.

    Memory is linear in frames, and so is the cost where branches reach a bounded distance.
    """

    def moved(x: Heads, positions: Positions) -> Heads:
        by = torch.tensor(positions) - torch.arange(grid.frames)
        return (grid.rotary.turn(x, by) if by.any() else x).flatten(2, 3)

    sides = [(branch, moved(q, branch.query_at), moved(k, branch.key_at)) for branch in branches]
    number = torch.arange(v.shape[2] * v.shape[3], device=v.device)

    def logits(queries: slice) -> list[Piece]:
        pieces = []
        for branch, query, key in sides:
            keys = branch.keys(queries)
            if keys.start < keys.stop:
                covered = branch.covers(number[queries, None], number[keys])
                found = scores(query[:, :, queries], key[:, :, keys]).masked_fill(~covered, -torch.inf)
                pieces.append((keys, found))
        return pieces

    return attention_of(logits, v)
