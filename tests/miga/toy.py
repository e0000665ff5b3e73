"""A base model without weights: mixes frames of a window and depends on levels and prompt, as the golden mocks do.

It is a real implementation of the contract (real solvers, guidance inside, a decoder), only its network is a formula.
"""

from __future__ import annotations

import torch

from miga.engine.base_model import BaseModel, Decoder, Text
from miga.engine.solvers import DDIM, FlowUniPC, Solver
from miga.models.registry import UNET, WAN


class ToyDecoder(Decoder):
    """The first three channels as pixels; counts frames so that its state means something."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.size, self.count = size, torch.tensor(0)

    def decode(self, latents):
        self.count = self.count + len(latents)
        return latents[:, :3]


class ToyModel(BaseModel):
    """`flow` chooses the family: flow matching with UniPC, or epsilon prediction with DDIM."""

    def __init__(
        self,
        flow: bool = False,
        window: int = 8,
        num_levels: int = 16,
        shape: tuple[int, int, int] = (4, 2, 3),
        dtype: torch.dtype = torch.float64,
        solver: Solver | None = None,
    ) -> None:
        self.name, self.window, self.latent_shape, self.fps = "toy", window, shape, 8
        self.solver = solver or (FlowUniPC(num_levels) if flow else DDIM(num_levels))
        self.flow, self.guidance_scale = flow, 3.0
        self.device, self.dtype, self.digest = torch.device("cpu"), dtype, "toy"
        self.abilities, self.denoiser = WAN if flow else UNET, torch.nn.Identity()

    def features(self, frames):
        return frames.flatten(1).float() - 100

    def encode(self, prompts):
        vectors = [torch.tensor([[len(prompt) % 7 / 20 + 0.03]]) for prompt in prompts]
        return [Text(prompt, vector, torch.tensor([[-0.02]])) for prompt, vector in zip(prompts, vectors, strict=True)]

    def network(self, x, t, bias):
        frames = torch.arange(1, x.shape[1] + 1, dtype=x.dtype).reshape(1, -1, 1, 1, 1)
        mix = 0.6 * x + 0.25 * x.mean(1, keepdim=True) - 0.2 * x.roll(1, 1) + 0.1 * x.cumsum(1) / frames
        out = (1.0 if self.flow else 0.35) * mix.tanh() * (0.8 + 0.2 * (t / 200).cos()) + 0.05 * (t / 137).sin() + bias
        return out if self.flow else out + 0.9 * (torch.pi * t / 2000).sin() * x

    def denoise(self, latents, levels, text, guidance_scale=None):
        texts = [text] * len(latents) if isinstance(text, Text) else text
        t = self.solver.timesteps[levels].to(latents)[..., None, None, None]
        scale = self.guidance_scale if guidance_scale is None else guidance_scale
        positive, negative = (
            torch.stack([getattr(one, side) for one in texts]).to(latents)[..., None, None]
            for side in ("positive", "negative")
        )
        self.calls += len(latents) * (1 if scale == 1 else 2)
        guided = self.network(latents, t, positive)
        if scale == 1:
            return guided
        plain = self.network(latents, t, negative)
        return plain + scale * (guided - plain)

    def decoder(self):
        return ToyDecoder(self.latent_shape[1:])

    def encode_frames(self, frames):
        raise NotImplementedError("the toy model has no encoder")

    def latent_frames(self, frames):
        return frames

    def video_frames(self, latents):
        return latents
