"""FIFO-Diffusion (Kim, Kang, Choi, Han, NeurIPS 2024, arXiv 2405.11473): generating infinite videos without training.

The method itself is diagonal denoising, which MIGA shares: `miga.engine.diagonal`. Here are its
parameters and its prompts.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Literal

from pydantic import Field

from miga.engine.base_model import BaseModel, Text
from miga.engine.checkpoint import Stream
from miga.engine.diagonal import Diagonal
from miga.engine.method import Card, Method, MethodConfig
from miga.engine.noise import Noise
from miga.engine.queue import LatentQueue
from miga.engine.sweep import Context
from miga.engine.trace import Trace
from miga.engine.windows import Window


class FifoDiffusion(MethodConfig):
    """Parameters of FIFO-Diffusion; defaults are the original's."""

    partitions: int | None = Field(
        None, ge=1, description="n: noise levels are n windows; default: the model's own levels"
    )
    lookahead: bool = Field(True, description="overlap windows by half and step only their noisier half")
    guidance_scale: float | None = Field(None, description="classifier-free guidance; default: the model's")
    latent_rescale: bool = Field(False, description="apply the model's dynamic rescale in the queue (the original: no)")
    drop_first: int | None = Field(
        None,
        ge=0,
        description="emissions discarded at first; default: levels - window, the remakes of the first base frame",
    )
    prompt_switch: Literal["emit", "enqueue"] = Field(
        "emit",
        description="with several prompts: all windows take the prompt of the frame that leaves (the original), "
        "or each window that of the newest frame that it steps",
    )
    prompt_latents: tuple[int, ...] | None = Field(
        None, description="latent frames of each prompt; default: equal shares of the video"
    )
    batch: int | None = Field(None, ge=1, description="windows in one call of the denoiser; default: by latent size")


def generate(
    model: BaseModel,
    texts: Sequence[Text],
    num_latents: int | None,
    config: FifoDiffusion,
    noise: Noise,
    trace: Trace,
) -> Stream:
    """Latents one at a time, without end where `num_latents` is None."""
    if config.partitions:
        model = model.with_levels(config.partitions * model.window)
    drop = max(model.solver.num_levels - model.window, 0) if config.drop_first is None else config.drop_first
    ends = prompt_ends(texts, num_latents, config.prompt_latents)
    context = Context(model, texts[0], noise, trace, config.batch, config.guidance_scale, config.latent_rescale)

    def prompt_of(frame: int) -> Text:
        return texts[min(bisect_right(ends, frame - drop), len(texts) - 1)]

    def texts_of(queue: LatentQueue, iteration: int, plan: Sequence[Window]) -> Sequence[Text]:
        if config.prompt_switch == "emit":
            return [prompt_of(iteration)] * len(plan)
        return [prompt_of(int(queue.ids[window.steps[-1]])) for window in plan]

    last = None if num_latents is None else drop + num_latents
    queue = Diagonal(context, config.lookahead, last, texts_of=texts_of if len(texts) > 1 else None)
    return Stream((latent for latent in queue.emissions() if queue.iteration > drop), queue=queue)


def prompt_ends(texts: Sequence[Text], num_latents: int | None, lengths: Sequence[int] | None) -> list[int]:
    """Number of the first latent after each prompt's share of the video."""
    if lengths and len(lengths) != len(texts):
        raise ValueError(f"prompt_latents has {len(lengths)} lengths for {len(texts)} prompts: give one for each")
    if lengths or len(texts) == 1:
        return list(accumulate(lengths or []))
    if num_latents is None:
        raise ValueError("several prompts without an end need prompt_latents: how many latent frames each lasts")
    return [num_latents * (i + 1) // len(texts) for i in range(len(texts))]


METHOD = Method(
    name="fifo_diffusion",
    card=Card(
        label="FIFO-Diffusion",
        summary="A queue with one frame per noise level; each sweep finishes one frame and admits one of pure noise.",
        cost="Constant memory, the queue; a fixed number of calls for each further latent frame.",
        version="1",
        length="infinite",
        paper="FIFO-Diffusion: Generating Infinite Videos from Text without Training (NeurIPS 2024)",
        year=2024,
        url="https://arxiv.org/abs/2405.11473",
        licence="CC BY-NC-SA 4.0",
        needs=dict(levels=("frame",)),
        published=("videocrafter2",),
        notes="The paper's results most likely come from the released code's defaults, which are ours: four partitions "
        "of 16 frames with lookahead, DDIM with eta 1, guidance 12 on VideoCrafter2. On flow-matching models the queue "
        "steps with the model's own solver, one history per frame.",
        multi_prompt=True,
    ),
    config=FifoDiffusion,
    generate=generate,
)
