"""Tiny base models of both families, loaded once, with random embeddings in place of encoded prompts."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

import torch

from miga.engine.base_model import BaseModel, Text
from miga.engine.method import METHODS
from miga.engine.noise import KeyedNoise, key
from miga.engine.trace import Trace
from miga.models import load
from tests.miga.tiny_models import tiny_unet, tiny_wan

FAMILIES = {"unet": tiny_unet, "transformer": tiny_wan}


@cache
def tiny(family: str, dtype: str = "fp32") -> BaseModel:
    """A random model of the family; its window is 4 (UNet) or 3 (transformer) latents."""
    with tempfile.TemporaryDirectory() as folder:
        return load(FAMILIES[family](Path(folder) / family), device="cpu", dtype=dtype)


def text_of(prompt: str) -> Text:
    """Embeddings (8 tokens, width 12) that depend on the prompt."""
    positive, negative = (
        torch.randn(8, 12, generator=torch.Generator().manual_seed(key(text))) for text in (prompt, "")
    )
    return Text(prompt, positive, negative)


@torch.inference_mode()
def sample(method: str, model: BaseModel, frames: int, prompts=("a red circle",), seed=0, **params) -> torch.Tensor:
    """All latents of one video by a registered method."""
    chosen = METHODS.get(method)
    texts = [text_of(prompt) for prompt in prompts]
    chunks = chosen.generate(model, texts, frames, chosen.config(**params), KeyedNoise(seed), Trace())
    return torch.cat(list(chunks))
