"""Controls that are known to be worse: a video with one fault, at a strength that is chosen.

A fault turns frames into as many others; strength 0 is the identity, 1 the worst. Faults of the picture grow from the
first frame, which stays, to the last; faults of the order touch only the order.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from scipy import ndimage

from eval.parsing import known

LUMA = np.array([0.299, 0.587, 0.114])
YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
SHORTEST_LOOP = 16  # frames

Video = UInt8[np.ndarray, "T height width 3"]
Picture = Callable[[np.ndarray, float, np.random.Generator], np.ndarray]  # frame in grey levels, amount 0..1, chance
Order = Callable[[int, float, np.random.Generator], np.ndarray]  # frames, strength -> which frame is shown at each


@dataclass(frozen=True)
class Fault:
    """A fault and its rule, which is one of three.

    picture: a frame after its share of the fault. order: which frame is shown when. splice: what the other video is
    whose frames are shown from a moment on (its frames come from the caller).
    """

    name: str
    summary: str
    picture: Picture | None = None
    order: Order | None = None
    splice: str = ""


def degrade(video: Video, fault: str, strength: float, seed: int = 0, other: Video | None = None) -> Video:
    """The video with one fault, uint8 and as long as before.

    strength: 0 (nothing changes) .. 1. other: the second video of faults that show one, at least as long.
    `ValueError` for an unknown fault, a strength outside 0..1, and another video that is missing or does not fit.
    """
    known(fault, FAULTS, "fault")
    rule = FAULTS[fault]
    if not 0 <= strength <= 1:
        raise ValueError(f"strength {strength:g}: a fault has a strength of 0 to 1")
    chance = np.random.default_rng([seed, zlib.crc32(fault.encode())])
    count = len(video)
    if rule.picture:
        share = np.arange(count) / max(1, count - 1)
        return np.stack([
            _levels(rule.picture(frame.astype(np.float64), strength * r, chance))
            for frame, r in zip(video, share, strict=True)
        ])  # fmt: skip
    if rule.order:
        return video[rule.order(count, strength, chance)]
    if other is None or len(other) < count or other.shape[1:] != video.shape[1:]:
        size = "" if other is None else f", not of {len(other)} frames of {other.shape[2]}x{other.shape[1]}"
        wanted = f"{count} frames of {video.shape[2]}x{video.shape[1]}"
        raise ValueError(f"the fault {fault} needs another video ({rule.splice}) of {wanted}{size}")
    return np.concatenate([video[: tail(count, strength)], other[tail(count, strength) : count]])


def tail(frames: int, strength: float) -> int:
    """The first frame of the faulty part: the whole at strength 0 is sound, at 1 the second half is faulty."""
    return frames - round(strength * frames / 2)


def _levels(frame: np.ndarray) -> UInt8[np.ndarray, "height width 3"]:
    return np.rint(frame).clip(0, 255).astype(np.uint8)


# --- the picture ------------------------------------------------------------------------------------------------------


def _blur(frame, amount, chance):
    sigma = 3 * amount * min(frame.shape[:2]) / 64
    return ndimage.gaussian_filter(frame, (sigma, sigma, 0), mode="nearest", truncate=4.0)


def _exposure(frame, amount, chance):
    return frame * (1 + 0.8 * amount)


def _saturation(frame, amount, chance):
    grey = (frame @ LUMA)[..., None]
    return grey + (frame - grey) * (1 + 2 * amount)


def _hue(frame, amount, chance):
    cos, sin = np.cos(np.pi * amount), np.sin(np.pi * amount)
    turn = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
    return frame @ (np.linalg.inv(YIQ) @ turn @ YIQ).T


def _noise(frame, amount, chance):
    return frame + 40 * amount * chance.standard_normal(frame.shape)


# --- the order --------------------------------------------------------------------------------------------------------


def _freeze(count, strength, chance):
    return np.minimum(np.arange(count), max(1, round(count * (1 - 0.75 * strength))) - 1)


def _loop(count, strength, chance):
    return np.arange(count) % round(count - strength * (count - min(SHORTEST_LOOP, count)))


def _stutter(count, strength, chance):
    held = 1 + round(7 * strength)
    return np.arange(count) // held * held


def _reverse(count, strength, chance):
    turn = tail(count, strength)
    return np.concatenate([np.arange(turn), np.arange(turn, count)[::-1]])


def _shuffle(count, strength, chance):
    block = 1 + round(strength * (count - 1))
    return np.concatenate([
        start + chance.permutation(min(block, count - start)) for start in range(0, count, block)
    ])  # fmt: skip


FAULTS = {
    fault.name: fault
    for fault in (
        Fault("blur", "frames lose their sharpness", _blur),
        Fault("exposure", "frames grow brighter", _exposure),
        Fault("saturation", "colours grow stronger", _saturation),
        Fault("hue", "colours turn", _hue),
        Fault("noise", "frames grow noisy", _noise),
        Fault("freeze", "the video stands still from a moment on", order=_freeze),
        Fault("loop", "the video begins again and again", order=_loop),
        Fault("stutter", "frames are held", order=_stutter),
        Fault("reverse", "the last part runs backwards", order=_reverse),
        Fault("cut", "another video follows", splice="any other one"),
        Fault("swap", "the subject becomes another one", splice="the same scene with another subject"),
        Fault("duplicate", "the subject is there twice", splice="the same scene with its subject twice"),
        Fault("shuffle", "frames change places", order=_shuffle),
    )
}
