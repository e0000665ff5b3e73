"""VideoCrafter2's UNet as we run it: a noise level per frame, and diffusers' numbers with less work.

Weights, configs and layers are diffusers'. What is replaced is what a layer is given or how it computes, to the same
numbers but for rounding.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from diffusers import UNet3DConditionModel
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn

from miga.models.kernels import attend


class FrameTimesteps:
    """Lets a UNet3DConditionModel be called with timesteps (B, F), one per frame; attach once to an instance.

    The UNet expands one timestep per sample to its frames; here its blocks get embeddings of the frames' own timesteps
    in place of those. Texts, which the UNet repeats for every frame, are attended once per sample: their keys and
    values are the same for all its frames.
    """

    def __init__(self, unet: UNet3DConditionModel) -> None:
        self.embedding: Tensor | None = None
        self.frames = 1
        unet.register_forward_pre_hook(self.begin, with_kwargs=True)
        unet.register_forward_hook(self.end, always_call=True)
        for block in (*unet.down_blocks, unet.mid_block, *unet.up_blocks):
            block.register_forward_pre_hook(self.replace_embedding, with_kwargs=True)
        for attention in text_attentions(unet):
            attention.register_forward_pre_hook(self.join_frames, with_kwargs=True)
            attention.register_forward_hook(self.split_frames)

    def begin(self, unet, args, kwargs):
        sample = kwargs["sample"] if "sample" in kwargs else args[0]
        timestep = kwargs["timestep"] if "timestep" in kwargs else args[1]
        self.frames = sample.shape[2]
        if not torch.is_tensor(timestep) or timestep.ndim != 2:
            return None
        self.embedding = unet.time_embedding(unet.time_proj(timestep.flatten()).to(unet.conv_in.weight.dtype))
        if "timestep" in kwargs:
            return args, {**kwargs, "timestep": timestep[:, 0]}
        return (args[0], timestep[:, 0], *args[2:]), kwargs

    def replace_embedding(self, block, args, kwargs):
        if self.embedding is None:
            return None
        if "temb" in kwargs:
            return args, {**kwargs, "temb": self.embedding}
        return (args[0], self.embedding, *args[2:]), kwargs

    def join_frames(self, attention, args, kwargs):
        context = kwargs["encoder_hidden_states"][:: self.frames]
        return (args[0].unflatten(0, (-1, self.frames)).flatten(1, 2),), {**kwargs, "encoder_hidden_states": context}

    def split_frames(self, attention, args, output):
        return output.unflatten(1, (self.frames, -1)).flatten(0, 1)

    def end(self, unet, args, output):
        self.embedding = None


def text_attentions(unet: UNet3DConditionModel) -> list[nn.Module]:
    """The attentions from frames to the prompt."""
    return [m for name, m in unet.named_modules() if name.endswith("attn2") and ".attentions." in name]


def layers_before_texts(unet: UNet3DConditionModel) -> Iterator[nn.Module]:
    """In the order in which they run."""
    yield unet.conv_in
    yield unet.transformer_in
    for block in unet.down_blocks:
        if getattr(block, "has_cross_attention", False):
            yield block.resnets[0]
            yield block.temp_convs[0]
            yield block.attentions[0].transformer_blocks[0].attn1
            return
        yield block


class SinglePrecision:
    """An attention processor that computes at least in float32: less is slower on CPUs where heads are narrow."""

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: None = None,
    ) -> Tensor:
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        q, k, v = (
            x.unflatten(-1, (attn.heads, -1)).transpose(1, 2)
            for x in (attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context))
        )
        return attn.to_out[0](attend(q, k, v))
