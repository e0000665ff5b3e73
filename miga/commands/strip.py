"""`miga strip`: a moving picture of a finished suite."""

from __future__ import annotations

from pathlib import Path

from tyro.conf import Positional


def strip(
    suite: Positional[Path],
    out: Path = Path("strip.webp"),
    entries: tuple[str, ...] = (),
    base: str | None = None,
    prompt: str | None = None,
    seed: int | None = None,
) -> None:
    """A moving strip of a finished suite: one prompt, methods side by side, the curve of drift under them.

    For example: `miga strip results/strip --entries direct freelong fifo_diffusion miga --out strip.webp`.

    Example: miga strip results/strip --out docs/pictures/strip.webp

    Args:
        suite: A finished suite, such as results/sprites.
        out: The animated WebP.
        entries: Methods, from left to right; default: all but controls.
        base: A base model of the suite; default: its first.
        prompt: The id of a prompt; default: the first.
        seed: A seed; default: the first.
    """
    from eval.files import only_ours
    from eval.strip import is_strip, write
    from eval.strip import strip as make

    if out.suffix != ".webp":
        raise ValueError(f"--out {out}: the strip is a .webp file")
    only_ours(out, is_strip, "a strip of `miga strip`")
    frames, fps = make(suite, entries, base, prompt, seed)
    write(frames, fps, out)
    print(f"{out}: {len(frames)} frames, {out.stat().st_size / 1e6:.2f} MB")
