"""The base models of the drawn world, for the registry; no torch, as there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from miga.models.registry import UNET, WAN, WAN_CLASS, Spec, TransformerOptions, UNetOptions, Wan21Options

WEIGHTS = Path(__file__).parent / "weights"
OURS = "Apache-2.0 (trained by this project)"
WAN_RUN = dict(num_levels=32, height=64, width=64, window=6, fps=8, guidance_scale=3.0, text_tokens=32)

SPRITES_UNET = Spec(
    name="sprites-unet",
    label="Sprites-UNet",
    cls="miga.models.videocrafter2:VideoCrafter2",
    abilities=UNET,
    options=UNetOptions(num_levels=32, height=64, width=64, window=16, fps=8, guidance_scale=2.5),
    licence=OURS,
    gigabytes=0.012,
    folder=WEIGHTS / "sprites-unet",
    remedy="miga sprites train --model sprites-unet",
    stands_for="videocrafter2",
    features="miga.sprites.reader:subject_features",
    extras=(),
)
SPRITES_WAN = replace(
    SPRITES_UNET,
    name="sprites-wan",
    label="Sprites-Wan",
    cls=WAN_CLASS,
    abilities=WAN,
    options=Wan21Options(**WAN_RUN),
    folder=WEIGHTS / "sprites-wan",
    remedy="miga sprites train --model sprites-wan",
    stands_for="wan2.1-1.3b",
)
SPRITES_WAN21 = replace(
    SPRITES_WAN,
    name="sprites-wan21",
    label="Sprites-Wan21",
    options=Wan21Options(**WAN_RUN | dict(window=21, num_levels=54)),  # the constants of Wan2.1 fit as published
    folder=WEIGHTS / "sprites-wan21",
    remedy="miga sprites train --model sprites-wan21",
)
SPRITES_DF = replace(
    SPRITES_WAN,
    name="sprites-df",
    label="Sprites-DF",
    abilities=replace(WAN, trained="each", clean_timestep=0),
    options=TransformerOptions(**WAN_RUN),
    folder=WEIGHTS / "sprites-df",
    remedy="miga sprites train --model sprites-df",
    stands_for="skyreels-v2-df-1.3b",
)
