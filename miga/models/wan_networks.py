"""Wan's networks as we run them: a noise level per latent frame, and diffusers' numbers with less work.

Weights, configs and layers are diffusers'. What is replaced is how a layer computes, to the same numbers but for
rounding: where it copies a number for every token, or multiplies real numbers in pairs.
"""

from __future__ import annotations

from types import MethodType
from typing import Literal

import torch
from diffusers import WanTransformer3DModel
from diffusers.models.attention_dispatch import dispatch_attention_fn
from diffusers.models.transformers.transformer_wan import WanAttention, WanTransformerBlock
from jaxtyping import Float
from torch import Tensor, nn

from miga.engine.attention import rotate
from miga.models.kernels import attend


class FrameTimesteps:
    """Lets a WanTransformer3DModel be called with timesteps (B, F), one per latent frame; attach once to an instance.

    diffusers takes a timestep per token. Here the time MLP runs on frames, and blocks modulate the tokens of a frame by
    its output without a copy for each. `head` says whose noise level the output head is told: each frame's own, or for
    all the first frame's of the window, which is what MIGA's released code computes. A timestep of any other shape
    passes untouched.
    """

    def __init__(self, transformer: WanTransformer3DModel, head: Literal["frame", "first"] = "frame") -> None:
        self.head, self.tokens = head, 0
        transformer.register_forward_pre_hook(self.begin, with_kwargs=True)
        transformer.condition_embedder.register_forward_hook(self.repeat)
        transformer.condition_embedder.timesteps_proj.register_forward_hook(self.sinusoid)
        for block in transformer.blocks:
            block.forward = MethodType(forward_block, block)
            for attention in (block.attn1, block.attn2):
                attention.set_processor(Attention())

    def begin(self, transformer, args, kwargs):
        sample = kwargs["hidden_states"] if "hidden_states" in kwargs else args[0]
        timestep = kwargs["timestep"] if "timestep" in kwargs else args[1]
        _, _, frames, height, width = sample.shape
        _, patch_height, patch_width = transformer.config.patch_size
        per_frame = timestep.ndim == 2 and timestep.shape[1] == frames
        self.tokens = (height // patch_height) * (width // patch_width) if per_frame else 0

    def repeat(self, embedder, args, output):
        if not self.tokens:
            return output
        head, blocks, *rest = output
        head = head.repeat_interleave(self.tokens, dim=1) if self.head == "frame" else head[:, 0]
        return head, blocks, *rest

    def sinusoid(self, projection, args, output):
        """In float64, as the original has it: in float32 it is off by 6e-5 at the noisy end."""
        half = projection.num_channels // 2
        rates = 10000 ** (-torch.arange(half, dtype=torch.float64, device=output.device) / half)
        angles = args[0].double()[:, None] * rates
        return torch.cat([angles.cos(), angles.sin()], dim=1).to(torch.promote_types(output.dtype, torch.float32))


def layers_before_texts(transformer: WanTransformer3DModel) -> tuple[nn.Module, ...]:
    """Those that cost something, in the order in which they run."""
    return transformer.patch_embedding, transformer.blocks[0].attn1


def forward_block(
    block: WanTransformerBlock,
    hidden_states: Float[Tensor, "b tokens c"],
    encoder_hidden_states: Float[Tensor, "b words c"],
    temb: Float[Tensor, "b *frames 6 c"],
    rotary_emb: tuple[Tensor, Tensor],
) -> Float[Tensor, "b tokens c"]:
    """A block whose modulation `temb` is of a window, or of each of its frames."""
    temb = temb if temb.ndim == 4 else temb[:, None]
    frames = temb.shape[1]
    first, second = (block.scale_shift_table + temb.float()).split(3, dim=2)

    def by_frame(x: Tensor) -> Tensor:
        return x.float().unflatten(1, (frames, -1))

    def modulated(norm: nn.Module, shift: Tensor, scale: Tensor) -> Tensor:
        normed = by_frame(norm(hidden_states.float()))
        return torch.addcmul(shift, normed, 1 + scale).flatten(1, 2).type_as(hidden_states)

    def plus(output: Tensor, gate: Tensor) -> Tensor:
        return torch.addcmul(by_frame(hidden_states), by_frame(output), gate).flatten(1, 2).type_as(hidden_states)

    shift, scale, gate = first.split(1, dim=2)
    hidden_states = plus(block.attn1(modulated(block.norm1, shift, scale), None, None, rotary_emb), gate)
    words = block.norm2(hidden_states.float()).type_as(hidden_states)
    hidden_states = hidden_states + block.attn2(words, encoder_hidden_states, None, None)
    shift, scale, gate = second.split(1, dim=2)
    return plus(block.ffn(modulated(block.norm3, shift, scale)), gate)


class Attention:
    """diffusers' attention processor for text to video, with our rotary embedding."""

    _attention_backend = _parallel_config = None  # what diffusers sets and asks processors for

    def __call__(
        self, attn: WanAttention, hidden_states, encoder_hidden_states=None, attention_mask=None, rotary_emb=None
    ):
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        q, k, v = attn.norm_q(attn.to_q(hidden_states)), attn.norm_k(attn.to_k(context)), attn.to_v(context)
        q, k, v = (x.unflatten(-1, (attn.heads, -1)) for x in (q, k, v))
        if rotary_emb is not None:
            q, k = rotate(q, *rotary_emb), rotate(k, *rotary_emb)
        if q.device.type == "cpu":
            return attn.to_out[0](attend(*(x.transpose(1, 2) for x in (q, k, v))))
        out = dispatch_attention_fn(q, k, v, attn_mask=attention_mask, backend=self._attention_backend)
        return attn.to_out[0](out.flatten(2))
