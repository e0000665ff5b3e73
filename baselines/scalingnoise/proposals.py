"""Candidate noises for the newest frame of a queue, made from fresh noise and from the frame before it.

`previous` is that frame, (1, C, h, w), one step cleaner than the candidate. Source: the four actions of ScalingNoise.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from miga.engine.sweep import Context

Frame = Float[Tensor, "1 c h w"]


@dataclass(frozen=True)
class Source:
    """Where one candidate takes its random numbers from: noise of frame `frame` at the noisiest level, under `name`."""

    context: Context
    name: str
    frame: int

    @property
    def level(self) -> int:
        return self.context.model.solver.num_levels - 1

    def normal(self, part: str = "") -> Frame:
        return self.context.draw(self.name + part, [self.frame], self.level)

    def uniform(self, part: str) -> Frame:
        model = self.context.model
        draw = self.context.noise.uniforms(self.name + part, [self.frame], self.level, model.latent_shape)
        return draw.to(model.device, model.dtype)

    def noised(self, clean: Frame) -> Frame:
        return self.context.model.solver.add_noise(clean, self.level, self.normal())


def fresh(previous: Frame, source: Source) -> Frame:
    """Noise that knows nothing of the frame before, as FIFO-Diffusion's."""
    return source.normal()


def renoise(previous: Frame, source: Source) -> Frame:
    """The frame before, noised as if it were clean: at the noisiest level hardly more than fresh noise."""
    return source.noised(previous)


def low_frequencies(previous: Frame, source: Source) -> Frame:
    """The low frequencies of the frame before under the high ones of fresh noise. The two parts overlap in the filter's
    slope, so that the result has less than unit variance."""
    return blend(previous, source.normal())


def low_frequencies_unit(previous: Frame, source: Source) -> Frame:
    """The same with the variance restored."""
    low = gaussian_low_pass(*previous.shape[-2:])
    variance = (low**2 + (1 - low) ** 2).mean()
    return blend(previous, source.normal()) / variance.sqrt().to(previous)


def mixture(previous: Frame, source: Source) -> Frame:
    """The re-noised frame before and fresh noise, mixed in another proportion at each element, variance kept."""
    near, far, ratio = source.noised(previous), source.normal(" far"), source.uniform(" ratio")
    return ((1 - ratio) * near + ratio * far) / ((1 - ratio) ** 2 + ratio**2).sqrt()


def blend(previous: Frame, noise: Frame) -> Frame:
    """Spectrum of `previous` inside the low pass, of `noise` outside."""
    low = torch.fft.ifftshift(gaussian_low_pass(*previous.shape[-2:])).to(previous.device)
    spectrum = low * torch.fft.fft2(previous.float()) + (1 - low) * torch.fft.fft2(noise.float())
    return torch.fft.ifft2(spectrum).real.to(previous)


def gaussian_low_pass(height: int, width: int, cutoff: float = 0.25) -> Float[Tensor, "h w"]:
    """Gaussian over spatial frequencies, zero at (height // 2, width // 2); `cutoff` in units of Nyquist's."""
    y, x = ((2 * torch.arange(size) / size - 1) / cutoff for size in (height, width))
    return torch.exp(-(y[:, None] ** 2 + x[None, :] ** 2) / 2)


PROPOSALS = {
    "fresh": fresh,
    "renoise": renoise,
    "low_frequencies": low_frequencies,
    "low_frequencies_unit": low_frequencies_unit,
    "mixture": mixture,
}
