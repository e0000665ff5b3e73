"""Modular Diffusers: every method here on Wan2.1, as blocks of diffusers' own pipelines.

pipe = LongVideoBlocks().init_pipeline("Wan-AI/Wan2.1-T2V-1.3B-Diffusers")
pipe.load_components()
for frames in pipe(prompt="a cat walks through tall grass", num_frames=161, output="chunks"):
    ...
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import torch
from diffusers import AutoencoderKLWan, ClassifierFreeGuidance, UniPCMultistepScheduler, WanTransformer3DModel
from diffusers.modular_pipelines import (
    ComponentSpec,
    InputParam,
    ModularPipeline,
    ModularPipelineBlocks,
    OutputParam,
    PipelineState,
    SequentialPipelineBlocks,
)
from diffusers.modular_pipelines.wan.encoders import WanTextEncoderStep
from diffusers.video_processor import VideoProcessor
from torch import nn

from eval.parsing import parse
from miga.engine.base_model import Text
from miga.engine.method import METHODS, Method, MethodConfig
from miga.engine.noise import KeyedNoise
from miga.engine.trace import Trace
from miga.models.registry import WAN21_1B
from miga.models.texts import BeforeTexts
from miga.models.wan import Wan

DEFAULTS = WAN21_1B.options
NO_FOLDER = Path(os.devnull)  # the networks are the pipeline's
_prepared: WeakKeyDictionary[nn.Module, BeforeTexts] = WeakKeyDictionary()  # transformers of pipelines


class PipelineWan(Wan):
    """Wan2.1 on the transformer and the autoencoder of a pipeline; texts come encoded."""

    def __init__(self, pipeline: ModularPipeline, **options: Any) -> None:
        self.pipeline = pipeline
        chosen = parse(type(DEFAULTS), DEFAULTS.model_dump() | options, "the pipeline")
        self.abilities, self.stands_for = WAN21_1B.abilities, WAN21_1B.stands_for or WAN21_1B.name
        super().__init__(NO_FOLDER, WAN21_1B.name, chosen, pipeline._execution_device, pipeline.transformer.dtype)

    def load_denoiser(self) -> nn.Module:
        transformer = self.pipeline.transformer
        if transformer not in _prepared:
            _prepared[transformer] = self.prepare(transformer)
        self.before_texts = _prepared[transformer]
        return transformer

    def load_vae(self) -> nn.Module:
        return self.pipeline.vae.to(self.dtype)


class LongVideoStep(ModularPipelineBlocks):
    """Denoises and decodes chunk by chunk, by a method of the group `miga.methods`; in place of Wan's own steps from
    timesteps to decoding."""

    model_name = "wan"

    @property
    def description(self) -> str:
        return "Makes a long, or endless, video by a training-free method such as MIGA or FIFO-Diffusion, in chunks."

    @property
    def expected_components(self) -> list[ComponentSpec]:
        made = dict(default_creation_method="from_config")
        return [
            ComponentSpec("transformer", WanTransformer3DModel),
            ComponentSpec("vae", AutoencoderKLWan),
            ComponentSpec("scheduler", UniPCMultistepScheduler),
            ComponentSpec("guider", ClassifierFreeGuidance, config={"guidance_scale": DEFAULTS.guidance_scale}, **made),
            ComponentSpec("video_processor", VideoProcessor, config={"vae_scale_factor": 8}, **made),
        ]

    @property
    def inputs(self) -> list[InputParam]:
        def given(name: str, kind: Any, default: Any, description: str) -> InputParam:
            return InputParam(name, type_hint=kind, default=default, description=description)

        return [
            InputParam("prompt_embeds", type_hint=torch.Tensor, required=True, description="(prompts, tokens, dim)"),
            given("negative_prompt_embeds", torch.Tensor, None, "the same; without them there is no guidance"),
            given("method", str, "miga", "a registered method, such as miga or fifo_diffusion"),
            given("params", dict, {}, "the method's parameters, by name"),
            given("num_frames", int, None, "video frames; without it the video has no end"),
            given("num_inference_steps", int, DEFAULTS.num_levels, "noise levels"),
            given("window", int, DEFAULTS.window, "latent frames that the transformer was trained on"),
            given("height", int, DEFAULTS.height, "of the video, in pixels"),
            given("width", int, DEFAULTS.width, "of the video, in pixels"),
            given("generator", torch.Generator, None, "its seed is that of the video; default: 0"),
            given("output_type", str, "np", "of a chunk: np, pt or pil, as of other pipelines"),
        ]

    @property
    def intermediate_outputs(self) -> list[OutputParam]:
        words = "the frames as they come: an iterator, each item the next frames of the video"
        return [OutputParam("chunks", type_hint=Iterator, description=words)]

    def __call__(self, components: ModularPipeline, state: PipelineState) -> tuple[ModularPipeline, PipelineState]:
        """`ValueError` for an unknown method or parameter, and for what the method's card excludes."""
        asked = self.get_block_state(state)
        method = METHODS.get(asked.method)
        if method.arrange is not None:
            raise ValueError(f"{method.name} rearranges a whole clip, and this makes chunks: use `miga.generate`")
        config = parse(method.config, asked.params, f"method {method.name!r}")
        positive, negative = asked.prompt_embeds, asked.negative_prompt_embeds
        model = PipelineWan(
            components,
            num_levels=asked.num_inference_steps,
            shift=components.scheduler.config.flow_shift,
            window=asked.window,
            height=asked.height,
            width=asked.width,
            guidance_scale=1.0 if negative is None else components.guider.guidance_scale,
            text_tokens=positive.shape[1],
        )
        rows = zip(positive, positive if negative is None else negative, strict=True)
        texts = [Text("", one.to(model.dtype), other.to(model.dtype)) for one, other in rows]
        method.check(model, texts, None if asked.num_frames is None else model.latent_frames(asked.num_frames))
        seed = 0 if asked.generator is None else asked.generator.initial_seed()
        frames = images(model, method, config, texts, asked.num_frames, seed)
        show = components.video_processor.postprocess_video
        asked.chunks = (show(part.movedim(0, 1)[None], output_type=asked.output_type)[0] for part in frames)
        self.set_block_state(state, asked)
        return components, state


@torch.inference_mode()
def images(
    model: Wan, method: Method, config: MethodConfig, texts: list[Text], num_frames: int | None, seed: int
) -> Iterator[torch.Tensor]:
    """Decoded images (n, 3, height, width) in -1..1 as they come, `num_frames` in all."""
    decoder, left = model.decoder(), num_frames
    latents = None if num_frames is None else model.latent_frames(num_frames)
    for chunk in method.generate(model, texts, latents, config, KeyedNoise(seed), Trace()):
        part = decoder.decode(chunk)[:left]
        left = None if left is None else left - len(part)
        yield part
        if left == 0:
            return


class LongVideoBlocks(SequentialPipelineBlocks):
    """Text to a long video: Wan's own text encoder, then `LongVideoStep`."""

    model_name = "wan"
    block_classes = [WanTextEncoderStep, LongVideoStep]
    block_names = ["text_encoder", "long_video"]

    @property
    def description(self) -> str:
        return "Text to a long, or endless, video on Wan2.1 by a training-free method, in chunks."

    @property
    def outputs(self) -> list[OutputParam]:
        return LongVideoStep().intermediate_outputs
