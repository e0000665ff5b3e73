"""A text for each frame of a clip, in a base model's attention to its prompt, while a `with` block runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace

import torch
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel
from jaxtyping import Float
from torch import Tensor, nn

from miga.engine.base_model import BaseModel, Text

Embedding = Float[Tensor, "tokens dim"]
Denoise = Callable[..., Float[Tensor, "b f c h w"]]


@dataclass
class FrameTexts:
    """Attention processor for the cross-attentions of one video, whose tokens come frame by frame."""

    inner: Callable[..., Tensor]
    texts: Callable[[Tensor], Float[Tensor, "f tokens dim"]]  # given what the network would read

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, *args, **kwargs):
        texts = self.texts(encoder_hidden_states)
        frames = hidden_states.reshape(len(texts), -1, hidden_states.shape[-1])
        return self.inner(attn, frames, texts.to(frames), *args, **kwargs).reshape(hidden_states.shape)


@contextmanager
def frame_texts(network: nn.Module, texts: Sequence[Embedding]) -> Iterator[None]:
    """Frame i of the one clip that `network` (or a part of it) is given reads `texts[i]`, its prompt being ignored.

    Knows diffusers' `Transformer2DModel` and `WanTransformer3DModel`; `ValueError` for a network with neither.
    """
    read, sites = _reading(network, texts), [site for host in network.modules() for site in _sites(host)]
    if not sites:
        raise ValueError(f"{type(network).__name__} has no attention to a prompt that could be one per frame")
    with ExitStack() as undo:
        for site in sites:
            undo.callback(site.set_processor, site.processor)
            site.set_processor(FrameTexts(site.processor, read))
        yield


def denoise_telling(
    model: BaseModel, told: Callable[[int], AbstractContextManager], text: Text, denoise: Denoise
) -> Denoise:
    """`denoise` for one clip, whose frames read what `told(level)` has them read, and none of them in the pass without
    a prompt. `text`: any of the prompts, for its negative."""
    empty = replace(text, positive=text.negative)

    def guided(latents, levels, _, guidance_scale=None):
        scale = model.guidance_scale if guidance_scale is None else guidance_scale
        with told(int(levels.max())):
            positive = denoise(latents, levels, text, 1.0)
        if scale == 1:
            return positive
        negative = denoise(latents, levels, empty, 1.0)
        return negative + scale * (positive - negative)

    return guided


def _sites(host: nn.Module) -> list[nn.Module]:
    """The attentions to the prompt that belong to a module."""
    if isinstance(host, Transformer2DModel):
        return [block.attn2 for block in host.transformer_blocks]
    return [block.attn2 for block in host.blocks] if isinstance(host, WanTransformer3DModel) else []


def _reading(network: nn.Module, texts: Sequence[Embedding]) -> Callable[[Tensor], Float[Tensor, "f tokens dim"]]:
    """What the frames read, made once: a Wan transformer pads a text with zeros and embeds it before its blocks."""
    made: list[Tensor] = []

    def read(seen: Tensor) -> Tensor:
        if not made and isinstance(network, WanTransformer3DModel):
            padded = [nn.functional.pad(text, (0, 0, 0, seen.shape[1] - len(text))) for text in texts]
            made.append(network.condition_embedder.text_embedder(torch.stack(padded).to(seen)))
        elif not made:
            made.append(torch.stack([*texts]))
        return made[0]

    return read
