"""Window plans: for one sweep over a queue, which frames each call of the denoiser reads and which of them it steps.

Pure integers. Positions count from the head (oldest, cleanest frame) of a queue of n frames; every plan steps each
frame that it is responsible for exactly once, whatever the order of its windows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

Span = tuple[int, int]  # (start, keep): a window at `start` steps its first `keep` frames


@dataclass(frozen=True)
class Window:
    """One call of the denoiser: the queue positions that it reads, in order, and which of them it steps.

    `frames[offset : offset + keep]` are stepped; the others are context (guidance, look-ahead, cleaner neighbours).
    """

    frames: tuple[int, ...]
    offset: int
    keep: int

    @property
    def kept(self) -> slice:
        return slice(self.offset, self.offset + self.keep)

    @property
    def steps(self) -> tuple[int, ...]:
        """Queue positions of the frames that this window steps."""
        return self.frames[self.kept]


def sliding_spans(n: int, width: int, stride: int, shift: int) -> list[Span]:
    """Windows of `width` frames every `stride`, the grid moved by `shift` frames so that borders change between sweeps.

    Each window steps its first `stride` frames and looks ahead with the rest; the last one steps all of its frames.
    """
    if n <= width:
        return [(0, n)]
    shift = shift % stride if n - shift % stride >= width else 0
    count, rest = divmod(n - shift - width, stride)
    spans = [(0, shift)] if shift else []
    spans += [(shift + i * stride, stride) for i in range(count)]
    spans += [(n - width - rest, rest)] if rest else []
    return [*spans, (n - width, width)]


def aligned_spans(n: int, width: int, stride: int) -> list[Span]:
    """The sliding grid that ends flush with the tail, for a queue that is still growing."""
    return sliding_spans(n, width, stride, (n - width) % stride)


def plain(spans: Sequence[Span], n: int, width: int) -> list[Window]:
    """Windows without guidance: each reads `width` frames from its start."""
    return [Window(tuple(range(start, min(start + width, n))), 0, keep) for start, keep in spans]


def guided(spans: Sequence[Span], n: int, width: int, guides: int, policy: Guides) -> list[Window]:
    """Windows of `width` frames behind `guides` earlier ones, farthest first (long-range frame guidance).

    A window that starts before frame `guides` has not that many frames before it and looks as many further ahead.
    """
    windows = []
    for start, keep in spans:
        if start < guides:
            windows.append(Window(tuple(range(start, min(start + width + guides, n))), 0, keep))
        else:
            body = range(start, min(start + width, n))
            windows.append(Window((*policy(start, guides), *body), guides, keep))
    return windows


Guides = Callable[[int, int], Sequence[int]]  # (start of the window, how many) -> positions before it, farthest first


def prefix_uniform(start: int, guides: int) -> list[int]:
    """Guides spread evenly over all frames before the window."""
    step = start // guides if guides else 0
    return [start - k * step for k in range(guides, 0, -1)]


def head(start: int, guides: int) -> range:
    """The oldest frames of the queue."""
    return range(guides)


def adjacent(start: int, guides: int) -> range:
    """The frames right before the window: it looks back at cleaner neighbours, as those of FIFO-Diffusion do."""
    return range(start - guides, start)


def guidance_policy(name: str, chunk: int, near: int) -> Guides:
    """The policy of that name; `comb` is made for a chunk size and a distance of the nearest guide.

    "none", for windows without guides, may be any of them. `KeyError` for a name of no policy.
    """
    policies = dict(
        prefix_uniform=prefix_uniform, none=prefix_uniform, head=head, comb=comb(chunk, near), adjacent=adjacent
    )
    return policies[name]


def comb(chunk: int, near: int) -> Guides:
    """One guide per preceding noise level, the nearest `near` frames before the window and the others `chunk` apart."""

    def guides_of(start: int, guides: int) -> list[int]:
        if start < guides * chunk:
            return prefix_uniform(start, guides)
        return [start - near - k * chunk for k in reversed(range(guides))]

    return guides_of


def freeze(windows: Sequence[Window], frozen: int) -> list[Window]:
    """The same reads, but the first `frozen` frames of the queue are context only; idle windows are left out."""
    return [window for window in (held(window, frozen) for window in windows) if window.keep]


def held(window: Window, frozen: int) -> Window:
    """The same reads, but no frame before position `frozen` is stepped."""
    skipped = min(max(frozen - window.frames[window.offset], 0), window.keep)
    return Window(window.frames, window.offset + skipped, window.keep - skipped)


def lookahead_prefix(width: int, lookahead: bool) -> int:
    """How many finished frames FIFO-Diffusion keeps before its queue as context of the cleanest window."""
    return width // 2 if lookahead else 0


def diagonal(
    num_levels: int, width: int, lookahead: bool, guides: int = 0, policy: Guides = prefix_uniform
) -> list[Window]:
    """FIFO-Diffusion's windows over a queue with one frame per level, noisiest first (latent partitioning).

    Without lookahead the windows tile the queue. With it they overlap by half and step only their noisier half, so that
    every frame sees `width // 2` cleaner ones; the queue then starts with that many finished frames. `guides` replaces
    the first frames of a window by earlier ones (MIGA's guidance on a diagonal queue).
    """
    prefix = lookahead_prefix(width, lookahead)
    if guides > prefix:
        raise ValueError(f"a window has {prefix} frames of context: {guides} guidance frames do not fit")
    windows, stop = [], prefix + num_levels
    while stop > prefix:
        start = max(stop - width, 0)
        first = start + prefix
        body = range(start, min(start + width, prefix + num_levels))
        if start >= guides > 0:
            body = (*policy(start + guides, guides), *body[guides:])
        windows.append(Window(tuple(body), prefix, stop - first))
        stop = first
    return windows
