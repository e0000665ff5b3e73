"""The base models by name: class, abilities, options, where the weights come from and under which licence.

A base model registers itself as an entry point of the group `miga.base_models`, from this repository or from any other
package; its name there is that of its `Spec`. Imports no torch, so that listing and planning stay cheap.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from eval.parsing import Strict, known
from eval.registry import Registry
from miga.engine.abilities import Abilities

NEGATIVE_WAN = (
    "色调艳丽，过曝，静态，细节模糊不清，字幕，风格，作品，画作，画面，静止，整体发灰，最差质量，低质量，JPEG压缩残留，"
    "丑陋的，残缺的，多余的手指，画得不好的手部，画得不好的脸部，畸形的，毁容的，形态畸形的肢体，手指融合，"
    "静止不动的画面，杂乱的背景，三条腿，背景人很多，倒着走"
)
EXECUTION = {"batch_guidance", "offload", "compile"}  # options that change frames by rounding only


class Options(Strict):
    """How a base model is run. Every key can be set in a suite (`params` of a base) or with `load(name, key=...)`."""

    num_levels: int = Field(ge=2, le=1000, description="solver steps T of the base model's own sampling")
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
    compile: bool = Field(False, description="torch.compile the denoiser; takes a C++ compiler")


class UNetOptions(Options):
    """Options of VideoCrafter2 and its relatives: epsilon prediction with DDIM."""

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
    """Options of Wan and its relatives: flow prediction with UniPC."""

    shift: float = Field(5.0, gt=0, description="of the noise levels towards the noisy end")
    text_tokens: int = Field(512, ge=1, description="length to which encoded prompts are padded with zeros")


class Wan21Options(TransformerOptions):
    """Options of Wan2.1, on which MIGA's release runs."""

    head: Literal["frame", "first"] = Field(
        "frame",
        description="noise level told to the output head: each frame's own, or the window's first as MIGA's release",
    )


class SkyReelsOptions(TransformerOptions):
    """Options of SkyReels-V2-DF, which is told a frame rate."""

    fps_condition: int = Field(24, ge=1, description="frame rate told to the network: 16, or any other")


@dataclass(frozen=True, kw_only=True)
class Source:
    """Weights that can be fetched: what they are, where they come from, under which licence.

    repo, revision: on the Hugging Face hub; no revision means that the first fetch takes the newest one and records it.
    files: patterns of the files that are needed.
    gigabytes: what a fetch downloads, about.
    original: whether the files are the original checkpoint, to be converted after download.
    folder: where weights stand that come with a package.
    remedy: the command that makes weights that are neither fetched nor there.
    """

    name: str
    label: str
    licence: str
    gigabytes: float
    repo: str | None = None
    revision: str | None = None
    files: tuple[str, ...] = ()
    original: bool = False
    folder: Path | None = None
    remedy: str = ""


Index = Mapping[str, Any]


def never(index: Index, network: Index) -> bool:
    return False


@dataclass(frozen=True, kw_only=True)
class Spec(Source):
    """A base model: what runs it, what it can do, its defaults, its card, its source.

    cls: "module:Class" of a `BaseModel` made as `cls(directory, name, options, device, precision)`.
    convert: "module:function" that writes the original weights as a model directory, see `models.convert`.
    recognises: whether a model directory is of this kind, by its model_index.json and its denoiser's config.json; asked
        where neither the directory nor its name says what it is like.
    stands_for: the published base model whose small relative this one is; default: itself.
    features: "module:function" (of a device) of the image features by which methods judge frames.
    extras: names of further weights that the features need.
    precision: of the denoiser on a GPU (elsewhere fp32), as the original deploys it.
    """

    cls: str
    abilities: Abilities
    options: Options
    paper: str = ""
    url: str = ""
    precision: Literal["fp32", "bf16"] = "fp32"
    convert: str = ""
    recognises: Callable[[Index, Index], bool] = never
    stands_for: str = ""
    features: str = "miga.models.features:dino"
    extras: tuple[str, ...] = ("dino-vitb16",)


BASES = Registry("miga.base_models", "base model")

DIFFUSERS_FILES = (
    "model_index.json",
    "transformer/*",
    "vae/*",
    "text_encoder/*",
    "tokenizer/*",
    "scheduler/*",
    "LICENSE*",
)
UNET = Abilities(attention="pixel", prediction="epsilon", texts="frame")
WAN = Abilities(attention="joint", prediction="flow", rotary=True, stride=4, texts="frame")
WAN_CLASS = "miga.models.wan:Wan"
WAN_CONVERT = "miga.models.convert:convert_wan"


def pipeline(index: Index) -> str:
    return index.get("_class_name", "")


def is_ti2v(index: Index, network: Index) -> bool:
    """Wan2.2-TI2V: its pipelines tell a timestep per token; where a folder does not say so, its 48 channels do."""
    said = pipeline(index) in ("WanPipeline", "WanImageToVideoPipeline", "")
    return said and (bool(index.get("expand_timesteps")) or network.get("in_channels") == 48)


def is_wan21(heads: int | None) -> Callable[[Index, Index], bool]:
    """A text-to-video Wan of one denoiser; the 14B one has 40 heads."""

    def recognises(index: Index, network: Index) -> bool:
        wan = network.get("_class_name", "WanTransformer3DModel") == "WanTransformer3DModel" and "transformer" in index
        here = wan and pipeline(index) in ("WanPipeline", "Wan21", "") and not is_ti2v(index, network)
        return here and (network.get("num_attention_heads") == 40) == (heads == 40)

    return recognises


VIDEOCRAFTER2 = Spec(
    name="videocrafter2",
    label="VideoCrafter2",
    cls="miga.models.videocrafter2:VideoCrafter2",
    abilities=UNET,
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
    convert="miga.models.convert:convert_videocrafter2",
    recognises=lambda index, network: "unet" in index and pipeline(index) in ("VideoCrafter2", ""),
)
WAN21_1B = Spec(
    name="wan2.1-1.3b",
    label="Wan2.1-1.3B",
    cls=WAN_CLASS,
    abilities=WAN,
    options=Wan21Options(
        num_levels=54, height=480, width=832, window=21, fps=16, guidance_scale=5.0, negative_prompt=NEGATIVE_WAN
    ),
    licence="Apache-2.0",
    paper="Wan: Open and Advanced Large-Scale Video Generative Models, arXiv:2503.20314",
    url="https://huggingface.co/Wan-AI/Wan2.1-T2V-1.3B-Diffusers",
    gigabytes=29.0,
    repo="Wan-AI/Wan2.1-T2V-1.3B-Diffusers",
    files=DIFFUSERS_FILES,
    precision="bf16",
    convert=WAN_CONVERT,
    recognises=is_wan21(None),
)
WAN21_14B = replace(
    WAN21_1B,
    name="wan2.1-14b",
    label="Wan2.1-14B",
    url="https://huggingface.co/Wan-AI/Wan2.1-T2V-14B-Diffusers",
    gigabytes=80.0,
    repo="Wan-AI/Wan2.1-T2V-14B-Diffusers",
    recognises=is_wan21(40),
)
WAN22_TI2V_5B = replace(
    WAN21_1B,
    name="wan2.2-ti2v-5b",
    label="Wan2.2-TI2V-5B",
    abilities=replace(WAN, trained="start", clean_timestep=0),
    options=TransformerOptions(
        num_levels=50, height=704, width=1280, window=31, fps=24, guidance_scale=5.0, negative_prompt=NEGATIVE_WAN
    ),
    url="https://huggingface.co/Wan-AI/Wan2.2-TI2V-5B-Diffusers",
    gigabytes=34.0,
    repo="Wan-AI/Wan2.2-TI2V-5B-Diffusers",
    recognises=is_ti2v,
)
SKYREELS_DF_1B = Spec(
    name="skyreels-v2-df-1.3b",
    label="SkyReels-V2-DF-1.3B",
    cls="miga.models.wan:SkyReels",
    abilities=replace(WAN, trained="each", clean_timestep=0),
    options=SkyReelsOptions(
        num_levels=50,
        shift=8.0,
        height=544,
        width=960,
        window=25,
        fps=24,
        guidance_scale=6.0,
        negative_prompt=NEGATIVE_WAN,
    ),
    licence="Skywork Community License (own terms)",
    paper="SkyReels-V2: Infinite-length Film Generative Model, arXiv:2504.13074",
    url="https://huggingface.co/Skywork/SkyReels-V2-DF-1.3B-540P-Diffusers",
    gigabytes=29.0,
    repo="Skywork/SkyReels-V2-DF-1.3B-540P-Diffusers",
    files=DIFFUSERS_FILES,
    precision="bf16",
    convert=WAN_CONVERT,
    recognises=lambda index, network: pipeline(index) == "SkyReelsV2DiffusionForcingPipeline",
)

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
    return BASES.names()


def get(name: str) -> Spec:
    """The base model of that name; `ValueError` names the nearest known one."""
    return BASES.get(name)


def source(name: str) -> Source:
    """What can be fetched under that name: a base model, or a network that methods look through."""
    known(name, {*names(), *EXTRAS}, "weights")
    return EXTRAS[name] if name in EXTRAS else get(name)
