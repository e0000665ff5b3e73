"""The base models by name: how each is run, where its weights come from and under which licence.

Imports no torch, so that listing and planning stay cheap.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from eval.parsing import Strict, known

NEGATIVE_WAN = (
    "色调艳丽，过曝，静态，细节模糊不清，字幕，风格，作品，画作，画面，静止，整体发灰，最差质量，低质量，JPEG压缩残留，"
    "丑陋的，残缺的，多余的手指，画得不好的手部，画得不好的脸部，畸形的，毁容的，形态畸形的肢体，手指融合，"
    "静止不动的画面，杂乱的背景，三条腿，背景人很多，倒着走"
)
EXECUTION = {"batch_guidance", "offload", "compile"}  # options that change frames by rounding only


class Options(Strict):
    """How a base model is run. Every key can be set in a suite (`params` of a base) or with `load(name, key=...)`."""

    num_levels: int = Field(ge=2, description="solver steps T of the base model's own sampling")
    height: int = Field(ge=8, description="of the video, in pixels")
    width: int = Field(ge=8)
    window: int = Field(ge=1, description="f0, latent frames that the denoiser was trained on")
    fps: int = Field(ge=1, description="frames per second of the video file")
    guidance_scale: float = Field(description="of classifier-free guidance; 1 means none")
    negative_prompt: str = Field("", description="what guidance points away from")
    batch_guidance: bool = Field(True, description="both passes of guidance in one call; False halves the activations")
    offload: Literal["none", "decoder", "blocks"] = Field(
        "none",
        description="what waits in CPU memory until it is used: the autoencoder, or also every block of the denoiser",
    )
    compile: bool = Field(False, description="torch.compile the denoiser")
    features: Literal["dino", "sprites"] = Field(
        "dino", description="image features by which methods judge frames: DINO ViT-B/16, or the sprites reader's"
    )


class UNetOptions(Options):
    """Options of the family of VideoCrafter2: epsilon prediction with DDIM."""

    eta: float = Field(1.0, ge=0, le=1, description="0 deterministic, 1 as much noise as DDPM")
    grid: Literal["linspace", "strided"] = Field(
        "linspace", description="timesteps: linspace as FIFO-Diffusion and MIGA, strided as VideoCrafter"
    )
    rescale: tuple[float, int] | None = Field(None, description="dynamic rescale: end and length of its ramp")
    final_alpha: Literal["abar0", "one"] = Field(
        "abar0", description="the last step ends at the alpha of timestep 0 as in the originals, or at the clean frame"
    )
    fps_condition: int | None = Field(None, description="frame rate told to the network, where it listens to one")


class TransformerOptions(Options):
    """Options of the family of Wan2.1: flow prediction with UniPC."""

    shift: float = Field(5.0, gt=0, description="of the noise levels towards the noisy end")
    text_tokens: int = Field(512, ge=1, description="length to which encoded prompts are padded with zeros")
    head: Literal["frame", "first"] = Field(
        "frame",
        description="noise level told to the output head: each frame's own, or the window's first as MIGA's release",
    )


@dataclass(frozen=True, kw_only=True)
class Source:
    """Weights that can be fetched: what they are, where they come from, under which licence.

    Attributes
    ----------
    repo, revision: on the Hugging Face hub; no revision means that the first fetch takes the newest one and records it.
    files: patterns of the files that are needed.
    gigabytes: what a fetch downloads, about.
    original: whether the files are the original checkpoint, to be converted after download.
    """

    name: str
    label: str
    licence: str
    gigabytes: float
    repo: str | None = None
    revision: str | None = None
    files: tuple[str, ...] = ()
    original: bool = False


@dataclass(frozen=True, kw_only=True)
class Spec(Source):
    """A base model: its defaults, its card, its source.

    `precision` is that of the denoiser on a GPU (elsewhere fp32), as the original deploys it.
    """

    options: Options
    paper: str
    url: str
    precision: Literal["fp32", "bf16"] = "fp32"

    @property
    def family(self) -> Literal["unet", "transformer"]:
        return "unet" if isinstance(self.options, UNetOptions) else "transformer"


DIFFUSERS_FILES = (
    "model_index.json",
    "transformer/*",
    "vae/*",
    "text_encoder/*",
    "tokenizer/*",
    "scheduler/*",
    "LICENSE*",
)
WAN = TransformerOptions(
    num_levels=54, height=480, width=832, window=21, fps=16, guidance_scale=5.0, negative_prompt=NEGATIVE_WAN
)
WAN_PAPER = "Wan: Open and Advanced Large-Scale Video Generative Models, arXiv:2503.20314"
OURS = "Apache-2.0 (trained by this project)"

SPECS = {
    spec.name: spec
    for spec in (
        Spec(
            name="videocrafter2",
            label="VideoCrafter2",
            options=UNetOptions(
                num_levels=64,
                height=320,
                width=512,
                window=16,
                fps=10,
                guidance_scale=12.0,
                rescale=(0.7, 400),
                fps_condition=8,
            ),
            licence="VideoCrafter's own (Apache-2.0 for research only; see its repository)",
            paper="Overcoming Data Limitations for High-Quality Video Diffusion Models, arXiv:2401.09047",
            url="https://huggingface.co/VideoCrafter/VideoCrafter2",
            gigabytes=6.0,
            repo="VideoCrafter/VideoCrafter2",
            files=("model.ckpt",),
            original=True,
        ),
        Spec(
            name="wan2.1-1.3b",
            label="Wan2.1-1.3B",
            options=WAN,
            licence="Apache-2.0",
            paper=WAN_PAPER,
            url="https://huggingface.co/Wan-AI/Wan2.1-T2V-1.3B-Diffusers",
            gigabytes=29.0,
            repo="Wan-AI/Wan2.1-T2V-1.3B-Diffusers",
            files=DIFFUSERS_FILES,
            precision="bf16",
        ),
        Spec(
            name="wan2.1-14b",
            label="Wan2.1-14B",
            options=WAN,
            licence="Apache-2.0",
            paper=WAN_PAPER,
            url="https://huggingface.co/Wan-AI/Wan2.1-T2V-14B-Diffusers",
            gigabytes=80.0,
            repo="Wan-AI/Wan2.1-T2V-14B-Diffusers",
            files=DIFFUSERS_FILES,
            precision="bf16",
        ),
        Spec(
            name="sprites-unet",
            label="Sprites-UNet",
            options=UNetOptions(
                num_levels=32, height=64, width=64, window=16, fps=8, guidance_scale=2.5, features="sprites"
            ),
            licence=OURS,
            paper="",
            url="",
            gigabytes=0.012,
        ),
        Spec(
            name="sprites-wan",
            label="Sprites-Wan",
            options=TransformerOptions(
                num_levels=32,
                height=64,
                width=64,
                window=6,
                fps=8,
                guidance_scale=3.0,
                text_tokens=32,
                features="sprites",
            ),
            licence=OURS,
            paper="",
            url="",
            gigabytes=0.012,
        ),
    )
}

EXTRAS = {
    "dino-vitb16": Source(
        name="dino-vitb16",
        label="DINO ViT-B/16 (features of ScalingNoise's search)",
        licence="Apache-2.0",
        gigabytes=0.34,
        repo="facebook/dino-vitb16",
        files=("config.json", "model.safetensors", "pytorch_model.bin", "preprocessor_config.json"),
    )
}


def names() -> tuple[str, ...]:
    return tuple(SPECS)


def get(name: str) -> Spec:
    """The base model of that name; `ValueError` names the nearest known one."""
    known(name, SPECS, "base model")
    return SPECS[name]


def source(name: str) -> Source:
    """What can be fetched under that name: a base model, or a network that methods look through."""
    known(name, SPECS | EXTRAS, "weights")
    return (SPECS | EXTRAS)[name]
