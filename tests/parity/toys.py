"""The networks that played the denoiser when the golden traces were recorded, as base models."""

from __future__ import annotations

import torch
from torch import nn

from miga.engine.base_model import BaseModel, Decoder, Text
from miga.engine.noise import ReplayNoise
from miga.engine.solvers import Solver
from miga.models.registry import UNET


class GoldenModel(BaseModel):
    """A base model whose network is a formula. Keeps every call: latents, levels, both branches, guided output."""

    def __init__(self, solver: Solver, window: int, shape, guidance_scale: float, dtype=torch.float32) -> None:
        self.name, self.abilities, self.denoiser, self.digest = "golden", UNET, nn.Identity(), ""
        self.solver, self.window, self.latent_shape, self.fps = solver, window, tuple(shape), 8
        self.guidance_scale, self.device, self.dtype = guidance_scale, torch.device("cpu"), dtype
        self.record: list[dict] = []

    def encode(self, prompts):
        raise NotImplementedError("a golden case brings its conditions")

    def network(self, x, t, condition):
        """The formula for one window (f, C, h, w) with timesteps (f,)."""
        raise NotImplementedError

    def denoise(self, latents, levels, text, guidance_scale=None):
        texts = [text] * len(latents) if isinstance(text, Text) else text
        scale = self.guidance_scale if guidance_scale is None else guidance_scale
        return torch.stack([self.window_output(*row, scale) for row in zip(latents, levels, texts, strict=True)])

    def window_output(self, x, levels, text, scale):
        t = self.solver.timesteps[levels]
        call = dict(x=x, levels=levels, t=t, cond=self.network(x, t, text.positive))
        call["out"] = call["cond"]
        if scale != 1:
            call["uncond"] = self.network(x, t, text.negative)
            call["out"] = call["uncond"] + scale * (call["cond"] - call["uncond"])
        self.calls += 1 if scale == 1 else 2
        self.keep(call)
        return call["out"]

    def keep(self, call: dict) -> None:
        self.record.append(call)

    def decoder(self):
        return ToyDecoder(self.latent_shape[1:])

    def encode_frames(self, frames):
        raise NotImplementedError("golden models have no encoder")

    def latent_frames(self, frames):
        return frames

    def video_frames(self, latents):
        return latents


class FifoToy(GoldenModel):
    """The toy denoiser of the sets `fifo` and `scalingnoise` (formula in their READMEs); conditions are 4-vectors."""

    def __init__(self, solver, window, shape, guidance_scale, constants, dtype=torch.float32):
        super().__init__(solver, window, shape, guidance_scale, dtype)
        self.constants = constants

    def network(self, x, t, condition):
        k, bias = self.constants, condition.to(x).reshape(1, -1, 1, 1)
        u = (t.to(x.dtype) / 1000).reshape(-1, 1, 1, 1)
        mixed = (k["k_mean"] * x.mean(0, keepdim=True) + k["k_prev"] * x.roll(1, 0)) + k["k_self"] * x
        return (u * (2 - u)).sqrt() * x - k["amp"] * (1 - k["slope"] * u) * (mixed + bias).tanh()

    @staticmethod
    def images(latents):
        """The toy decoder: (f, 4, h, w) to (f, 3, h, w) in (-1, 1)."""
        return torch.tanh(0.7 * latents[:, :3] + 0.3 * latents[:, 3:4])


class ToyDecoder(Decoder):
    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size

    def decode(self, latents):
        return FifoToy.images(latents)


def to_uint8(images):
    """(f, 3, h, w) in [-1, 1] to uint8 (f, h, w, 3), truncated as the originals do."""
    return ((images.clamp(-1, 1) + 1) / 2 * 255).to(torch.uint8).permute(0, 2, 3, 1)


class RecordedNoise(ReplayNoise):
    """Replays a stream and notes, for each draw, what asked for it."""

    def __init__(self, stream) -> None:
        super().__init__(stream=lambda shape: self.take(stream, shape))
        self.draws: list[dict] = []
        self.asked: dict = {}

    def take(self, stream, shape):
        value = stream(shape)
        self.draws.append(dict(self.asked, value=value))
        if "frame" in self.asked:
            self.asked["frame"] += 1
        return value

    def frames(self, purpose, frames, levels, shape):
        self.asked = dict(purpose=purpose, frame=0)
        return super().frames(purpose, frames, levels, shape)

    def clip(self, purpose, num_frames, level, shape):
        self.asked = dict(purpose=purpose, level=level)
        return super().clip(purpose, num_frames, level, shape)
