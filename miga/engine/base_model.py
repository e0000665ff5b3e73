"""The contract of a base model: all that a method may know about the network it schedules.

A noise level is an integer index into the solver's table: 0 is the cleanest level that still takes a step,
`solver.num_levels - 1` the noisiest, and -1 says that a frame is finished. One step takes a frame from level l to
l - 1. `denoise` takes level -1 too: the network is told that such a frame is clean where it has learned what that is
(`Abilities.clean_timestep`), and the cleanest level where it has not.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from miga.engine.abilities import Abilities
from miga.engine.checkpoint import Part

if TYPE_CHECKING:
    from miga.engine.solvers import Solver


class Tokens(NamedTuple):
    """Tokens that a prompt has, end marks included, and how many of them the text tower read."""

    had: int
    used: int


@dataclass(frozen=True)
class Text:
    """One encoded prompt and its guidance counterpart, ready for the denoiser.

    `negative` is the encoding of the empty prompt (VideoCrafter2) or of the model's negative prompt (Wan).
    """

    prompt: str
    positive: Float[Tensor, "tokens dim"]
    negative: Float[Tensor, "tokens dim"]
    tokens: Tokens | None = None

    def to(self, *args, **kwargs) -> Text:
        return replace(self, positive=self.positive.to(*args, **kwargs), negative=self.negative.to(*args, **kwargs))

    @property
    def cut(self) -> str:
        """What to say of a prompt that the text tower has not read to its end; else nothing."""
        if self.tokens is None or self.tokens.had <= self.tokens.used:
            return ""
        shown = self.prompt if len(self.prompt) <= 60 else f"{self.prompt[:57]}..."
        return (
            f"{shown!r} is cut: it has {self.tokens.had} tokens, the text tower reads {self.tokens.used}; "
            "what comes after them has no part in the video"
        )


class Decoder(Part, ABC):
    """Latents in, frames out, in order and as they come.

    `size` is the height and width that frames must have; `saved` names what the next latents need of the earlier ones,
    such as Wan's feature cache.
    """

    size: tuple[int, int]

    @torch.inference_mode()
    def push(self, latents: Float[Tensor, "f c h w"]) -> UInt8[Tensor, "n height width 3"]:
        """Decode the next latents of the video to RGB frames, cut to whole numbers as the originals do.

        `ValueError` where the autoencoder makes something else than three channels of the size that was asked for.
        """
        images = self.decode(latents)
        if images.shape[1:] != (3, *self.size):
            channels, height, width = images.shape[1:]
            raise ValueError(
                f"the autoencoder decodes to {channels} channels of {height} x {width} where 3 of {self.size[0]} x "
                f"{self.size[1]} were asked for: the model's folder and the base model that it is run like do not fit"
            )
        return ((images.clamp(-1, 1) + 1) / 2 * 255).to(torch.uint8).movedim(1, -1).contiguous()

    @abstractmethod
    def decode(self, latents: Float[Tensor, "f c h w"]) -> Float[Tensor, "n 3 height width"]:
        """The next images of the video, in -1..1."""


class BaseModel(ABC):
    """A pretrained text-to-video denoiser with its autoencoder, text tower and solver.

    name: name in the registry, such as "videocrafter2" or "sprites-unet".
    stands_for: the published base model that it is, or is the small relative of: decides what is a port.
    abilities: what a method can do with it.
    denoiser: the network itself, for methods that replace its temporal attention (`miga.engine.attention`).
    window: f0, the number of latent frames that the denoiser was trained on.
    latent_shape: (C, h, w) of one latent frame at the resolution of this run.
    fps: frames per second of the decoded video.
    solver: the solver with its table of noise levels.
    guidance_scale: default scale of classifier-free guidance; 1 means no guidance.
    device, dtype: where latents live and their precision.
    precision: dtype of the networks, which may be lower than that of the latents.
    options: the run parameters that decide what the model computes, for sidecars.
    digest: sha256 over the weights, for sidecars.
    calls: denoiser forwards so far (a guided window counts 2, as in the originals).
    given: clean latents that every clip of this view begins with, see `with_start`.
    features: image features of frames, one row each, for methods that judge what they make (ScalingNoise): DINO
        ViT-B/16 for real models, the reader of the sprites world for its models; None where there are none.
    """

    name: str
    abilities: Abilities
    denoiser: nn.Module
    window: int
    latent_shape: tuple[int, int, int]
    fps: int
    solver: Solver
    guidance_scale: float
    device: torch.device
    dtype: torch.dtype
    precision: torch.dtype = torch.float32
    options: Mapping[str, Any] = MappingProxyType({})
    digest: str
    given: Float[Tensor, "k c h w"] | None = None
    stands_for: str = ""
    features: Callable[[UInt8[Tensor, "n height width 3"]], Float[Tensor, "n d"]] | None = None

    @property
    def calls(self) -> int:
        return self.__dict__.setdefault("_calls", [0])[0]

    @calls.setter
    def calls(self, count: int) -> None:
        self.__dict__.setdefault("_calls", [0])[0] = count

    def with_levels(self, num_levels: int) -> BaseModel:
        """The same network (weights and counter of calls are shared) on a table of `num_levels` noise levels."""
        self.calls += 0  # so that the counter exists before it is shared
        view = copy.copy(self)
        view.solver = self.solver.with_levels(num_levels)
        return view

    def with_start(self, latents: Float[Tensor, "k c h w"]) -> BaseModel:
        """The same network, whose clips begin with these clean latents (an encoded image, or the end of a video).

        `sampling.sample_clip` leaves them as they are, so every method that begins with a clip goes on from them.
        """
        self.calls += 0  # so that the counter exists before it is shared
        view = copy.copy(self)
        view.given = latents.to(self.device, self.dtype)
        return view

    @abstractmethod
    def encode(self, prompts: list[str]) -> list[Text]:
        """Encode prompts, one `Text` each; the text tower is in memory only while this runs. A prompt that it cuts says
        so by its `tokens`."""

    @abstractmethod
    def denoise(
        self,
        latents: Float[Tensor, "b f c h w"],
        levels: Int[Tensor, "b f"],
        text: Text | list[Text],
        guidance_scale: float | None = None,
    ) -> Float[Tensor, "b f c h w"]:
        """The network's output (epsilon or flow) for windows whose frames sit at one level each, guidance inside.

        latents, levels: of b windows of f frames, levels in -1..num_levels - 1, on the model's device.
        text: one prompt for all windows or one for each.
        guidance_scale: of classifier-free guidance, 1 for none; default: the model's.

        Rows of the batch are independent: how windows are batched changes results by rounding only.
        """

    @abstractmethod
    def decoder(self) -> Decoder:
        """A fresh decoder for one video."""

    @abstractmethod
    def encode_frames(self, frames: UInt8[Tensor, "n height width 3"]) -> Float[Tensor, "f c h w"]:
        """Encode frames of a video (0..255, not necessarily whole) to latents (the mean of the posterior).

        `ValueError` for a number of frames that no number of latents decodes to.
        """

    @abstractmethod
    def latent_frames(self, frames: int) -> int:
        """How many latents decode to at least `frames` video frames."""

    @abstractmethod
    def video_frames(self, latents: int) -> int:
        """How many video frames `latents` latents decode to."""

    def stills(self, latents: Float[Tensor, "n c h w"]) -> UInt8[Tensor, "n height width 3"]:
        """Each latent frame as a picture on its own, whatever stands before it: the last frame that a fresh decoder
        makes of it. A model whose autoencoder works frame by frame may decode them as one batch."""
        return torch.cat([self.decoder().push(latent[None])[-1:] for latent in latents])

    def latent_features(self, latents: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
        """Image features of latent frames, each decoded on its own."""
        return self.features(self.stills(latents)).to(self.device, torch.float32)
