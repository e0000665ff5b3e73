"""A base model and methods small enough for tests of what stands around them: real contracts, trivial mathematics."""

import hashlib

import torch

from miga.engine.base_model import BaseModel, Decoder, Text
from miga.engine.method import Card, Method, MethodConfig
from miga.engine.sampling import sample_clip
from miga.engine.solvers import DDIM
from miga.models.registry import UNET


class ToyDecoder(Decoder):
    """One latent is one frame: each value is a tile of 8x8 pixels."""

    def decode(self, latents):
        raise NotImplementedError

    def push(self, latents):
        frames = (latents.sigmoid() * 255).round().to(torch.uint8)
        return frames.repeat_interleave(8, 2).repeat_interleave(8, 3).permute(0, 2, 3, 1)


class ToyModel(BaseModel):
    """Predicts epsilon as a smooth function of the latents, their mean over the window, the level and the prompt."""

    name, window, latent_shape, fps, guidance_scale = "toy", 4, (3, 2, 4), 8, 1.0
    abilities, stands_for = UNET, "videocrafter2"
    device, dtype, digest = torch.device("cpu"), torch.float32, hashlib.sha256(b"toy").hexdigest()

    def __init__(self, levels=4):
        self.solver = DDIM(levels)

    def encode(self, prompts):
        rows = [torch.tensor(list(hashlib.sha256(p.encode()).digest()[:4])).float() / 255 for p in prompts]
        return [Text(prompt, row.expand(2, 4), torch.zeros(2, 4)) for prompt, row in zip(prompts, rows, strict=True)]

    def denoise(self, latents, levels, text, guidance_scale=None):
        self.calls += 1
        prompt = text.positive.mean() if isinstance(text, Text) else 0.0
        share = (levels + 1) / self.solver.num_levels
        return torch.tanh(latents - 0.3 * latents.mean(1, keepdim=True) + prompt) * share[..., None, None, None].float()

    def decoder(self):
        return ToyDecoder()

    def encode_frames(self, frames):
        raise NotImplementedError

    def latent_frames(self, frames):
        return frames

    def video_frames(self, latents):
        return latents


class Strength(MethodConfig):
    strength: float = 1.0


def _clips(model, texts, num_latents, config, noise, trace):
    """Clips one after the other, each with its own part of the noise."""
    clip = 0
    while num_latents is None or clip * model.window < num_latents:
        start = noise.frames("start", range(clip * model.window, (clip + 1) * model.window), 0, model.latent_shape)
        trace.add("clip", number=clip)
        yield sample_clip(model, texts[0], noise, start=config.strength * start)
        clip += 1


def _native(model, texts, num_latents, config, noise, trace):
    yield sample_clip(model, texts[0], noise)


ENDLESS = Method("toy_endless", Card("Toy", "clips in a row", "1", "infinite"), Strength, _clips)
LOOPED = Method(
    "toy_looped",
    Card("Looped toy", "its clip again and again", "1", "finite", control=True),
    MethodConfig,
    _native,
    lambda native, wanted, seed: [i % native for i in range(wanted)],
)
