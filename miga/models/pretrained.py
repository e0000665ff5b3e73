"""What the base models have in common: guidance, batching, precision, offloading, and a word on memory."""

from __future__ import annotations

import os
import shutil
import sys
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from pkgutil import resolve_name
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from miga.engine.base_model import BaseModel, Text, Tokens
from miga.models import weights
from miga.models.features import Features
from miga.models.kernels import on_a_cpu
from miga.models.registry import EXECUTION, Options
from miga.models.texts import TextCache

COMPILER = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")  # the one that torch calls
PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16, "fp64": torch.float64}


def precision_of(dtype: str | torch.dtype) -> torch.dtype:
    """The torch dtype of "fp32", "fp16", "bf16" or "fp64"."""
    if isinstance(dtype, torch.dtype):
        return dtype
    if dtype not in PRECISIONS:
        raise ValueError(f"unknown precision {dtype!r}: known are {', '.join(PRECISIONS)}")
    return PRECISIONS[dtype]


class Pretrained(BaseModel):
    """A base model in a diffusers-style directory.

    Latents and the solver are float32 whatever the precision of the networks (float64 with float64 networks).

    directory: the model directory.
    name: what sidecars call it.
    options: how it is run.
    device: where the networks run.
    precision: dtype of the denoiser; the autoencoder runs in the dtype of the latents.

    `abilities`, `stands_for` and `features_name` ("module:function" of a device) are of its `registry.Spec`.
    """

    features_name: str = "miga.models.features:dino"

    denoiser_part: ClassVar[str]
    multiple: int  # height and width of the video must be multiples of it

    def __init__(
        self, directory: Path, name: str, options: Options, device: torch.device, precision: torch.dtype
    ) -> None:
        self.directory, self.name, self.device, self.precision = directory, name, device, precision
        self.dtype = torch.float64 if precision == torch.float64 else torch.float32
        self.run_options = options
        self.options = options.model_dump(mode="json", exclude=EXECUTION)
        self.window, self.fps, self.guidance_scale = options.window, options.fps, options.guidance_scale
        self.digest = weights.digest(directory)
        with self.explain_memory():
            self.denoiser, self.vae = self.load_denoiser(), self.load_vae()
            if device.type == "cpu":
                on_a_cpu(self.vae)
                if not options.compile:  # compilers choose kernels themselves
                    on_a_cpu(self.denoiser)
            self.texts = TextCache([] if options.compile else self.text_modules())  # compiled code cannot look them up
        self.place()
        if options.height % self.multiple or options.width % self.multiple:
            raise ValueError(
                f"{name}: height and width must be multiples of {self.multiple}, not {options.height} x {options.width}"
            )
        if options.compile:
            if not shutil.which(COMPILER):
                raise ValueError(
                    f"{name}: compile is set and there is no {COMPILER}: install it, or set compile to false"
                )
            for part in self.compiled_parts():
                part.compile()

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the video, in pixels."""
        return self.run_options.height, self.run_options.width

    @abstractmethod
    def load_denoiser(self) -> nn.Module:
        """The denoiser on the CPU, ready for one noise level per frame."""

    @abstractmethod
    def text_modules(self) -> list[nn.Module]:
        """The modules of the denoiser that read nothing but prompts."""

    def compiled_parts(self) -> Sequence[nn.Module]:
        """What `compile` compiles, each alone: parts that are alike share the code of the first."""
        return [self.denoiser]

    @abstractmethod
    def load_vae(self) -> nn.Module:
        """The autoencoder on the CPU."""

    @cached_property
    def features(self) -> Features:
        return resolve_name(self.features_name)(self.device)

    @abstractmethod
    def forward(
        self,
        latents: Float[Tensor, "b f c h w"],
        timesteps: Int[Tensor, "b f"],
        context: list[Float[Tensor, "tokens dim"]],
    ) -> Float[Tensor, "n f c h w"]:
        """One call of the denoiser, without guidance: all windows with a text each, then all with the next texts."""

    @abstractmethod
    def embed(self, prompts: list[str]) -> list[Float[Tensor, "tokens dim"]]:
        """Encode prompts with the text tower, which is loaded for it and let go."""

    @abstractmethod
    def count_tokens(self, prompts: list[str]) -> list[Tokens]:
        """Tokens that each prompt has, and that `embed` reads of it."""

    def part(self, cls: type, part: str, dtype: torch.dtype) -> nn.Module:
        """One network of the directory, on the CPU."""
        return weights.load_part(cls, self.directory, part, dtype)

    def place(self) -> None:
        """Move the networks to the device, as far as offloading lets them."""
        offload = self.run_options.offload
        with self.explain_memory():
            if offload == "blocks":
                self.denoiser.enable_group_offload(
                    onload_device=self.device,
                    offload_type="block_level",
                    num_blocks_per_group=1,
                    use_stream=self.device.type == "cuda",
                )
            else:
                self.denoiser.to(self.device)
            self.vae.to("cpu" if offload != "none" else self.device)

    def encode(self, prompts: list[str]) -> list[Text]:
        with torch.inference_mode(), self.explain_memory():
            negative, *positive = (x.to(self.dtype) for x in self.embed([self.run_options.negative_prompt, *prompts]))
        tokens = self.count_tokens(prompts)
        return [Text(prompt, one, negative, read) for prompt, one, read in zip(prompts, positive, tokens, strict=True)]

    @torch.inference_mode()
    def denoise(self, latents, levels, text, guidance_scale=None):
        scale = self.guidance_scale if guidance_scale is None else guidance_scale
        texts = [text] * len(latents) if isinstance(text, Text) else text
        timesteps = self.timesteps(levels).to(self.device)
        passes = [[one.positive for one in texts]]
        if scale != 1:
            passes.append([one.negative for one in texts])
        self.calls += len(latents) * len(passes)
        with self.explain_memory():
            if self.run_options.batch_guidance:
                context = [embedding for one in passes for embedding in one]
                outputs = self.forward(latents, timesteps, context).chunk(len(passes))
            else:
                outputs = [self.forward(latents, timesteps, context) for context in passes]
        if scale == 1:
            return outputs[0]
        guided, plain = outputs
        return plain + scale * (guided - plain)

    def timesteps(self, levels: Int[Tensor, "b f"]) -> Int[Tensor, "b f"]:
        """What the network is told: of clean frames (level -1) that, where it knows them, else the cleanest level."""
        table, clean = self.solver.timesteps.to(levels.device), self.abilities.clean_timestep
        if clean is None:
            return table[levels.clamp(min=0)]
        return torch.where(levels < 0, torch.full_like(levels, clean), table[levels.clamp(min=0)])

    @contextmanager
    def autoencoder(self) -> Iterator[nn.Module]:
        """The autoencoder on the device, for as long as it is used."""
        with self.explain_memory():
            if self.run_options.offload == "none":
                yield self.vae
                return
            try:
                yield self.vae.to(self.device)
            finally:
                self.vae.to("cpu")

    @contextmanager
    def explain_memory(self) -> Iterator[None]:
        """Turn CUDA's out-of-memory error into a sentence that says which options use less."""
        try:
            yield
        except torch.cuda.OutOfMemoryError as error:
            size = f"{self.run_options.width}x{self.run_options.height}"
            raise MemoryError(
                f"{self.name} at {size} in {str(self.precision).removeprefix('torch.')} does not fit into the memory "
                f"of {self.device}: set dtype to bf16 or fp16, batch_guidance to false, offload to decoder or blocks, "
                f"or a smaller height and width ({str(error).split('.')[0]})"
            ) from error
