"""Two prompts in one video: a text per frame, and motion injection (FreeNoise)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

import torch
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from jaxtyping import Float
from torch import Tensor, nn

from miga.engine.base_model import BaseModel, Text


def interpolated(
    first: Float[Tensor, "tokens dim"], second: Float[Tensor, "tokens dim"], frames: int, hold: float = 0.375
) -> Float[Tensor, "f tokens dim"]:
    """The first prompt for the first floor(hold * frames) frames, the second for as many last ones, a line between."""
    held = int(hold * frames)
    ends = torch.zeros(held), torch.linspace(0, 1, frames - 2 * held), torch.ones(held)
    share = torch.cat(ends).to(first)[:, None, None]
    return (1 - share) * first + share * second


@dataclass
class FrameTexts:
    """Attention processor for the cross-attentions of one video whose frames have a text each."""

    inner: Callable[..., Tensor]
    text: Float[Tensor, "f tokens dim"]

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None):
        frames = hidden_states.reshape(len(self.text), -1, hidden_states.shape[-1])
        return self.inner(attn, frames, self.text.to(frames)).reshape(hidden_states.shape)


@contextmanager
def frame_texts(
    unet: nn.Module, early: Float[Tensor, "f tokens dim"], late: Float[Tensor, "f tokens dim"]
) -> Iterator[None]:
    """Cross-attentions read a text per frame: `early` in the input and middle blocks, `late` in the output blocks."""
    with ExitStack() as undo:
        for part, text in ((unet.down_blocks, early), (unet.mid_block, early), (unet.up_blocks, late)):
            for host in part.modules():
                if isinstance(host, Transformer2DModel):
                    for site in (block.attn2 for block in host.transformer_blocks):
                        undo.callback(site.set_processor, site.processor)
                        site.set_processor(FrameTexts(site.processor, text))
        yield


def injected(
    model: BaseModel, texts: Sequence[Text], frames: int, config, denoise: Callable[..., Tensor]
) -> Callable[..., Float[Tensor, "b f c h w"]]:
    """`denoise` for two prompts: frames move from one to the other, and where step k (0 = noisiest) is below
    `config.inject[0]` or above `config.inject[1]` all but the output blocks read the second throughout."""
    if model.abilities.texts != "frame" or len(texts) != 2:
        raise ValueError(
            f"freenoise takes one prompt, or two where the base model takes a text per frame: asked for "
            f"{len(texts)} on {model.name!r}"
        )
    if frames < 2:
        raise ValueError("freenoise cannot move from one prompt to the other in a single latent frame: ask for more")
    first, second = (text.positive.to(model.device, model.dtype) for text in texts)
    mixed, second = interpolated(first, second, frames, config.hold), second.expand(frames, -1, -1)
    text = texts[0]
    empty = replace(text, positive=text.negative)

    def guided(latents, levels, _, guidance_scale=None):
        scale = model.guidance_scale if guidance_scale is None else guidance_scale
        step = model.solver.num_levels - 1 - int(levels.max())
        inject = step < config.inject[0] or step > config.inject[1]
        with frame_texts(model.denoiser, second if inject else mixed, mixed):
            positive = denoise(latents, levels, text, 1.0)
        if scale == 1:
            return positive
        negative = denoise(latents, levels, empty, 1.0)
        return negative + scale * (positive - negative)

    return guided
