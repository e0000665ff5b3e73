"""Two prompts in one video: a text per frame, and motion injection (FreeNoise)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn

from miga.engine.base_model import BaseModel, Text
from miga.engine.frame_texts import denoise_telling, frame_texts


def interpolated(
    first: Float[Tensor, "tokens dim"], second: Float[Tensor, "tokens dim"], frames: int, hold: float = 0.375
) -> Float[Tensor, "f tokens dim"]:
    """The first prompt for the first floor(hold * frames) frames, the second for as many last ones, a line between."""
    held = int(hold * frames)
    ends = torch.zeros(held), torch.linspace(0, 1, frames - 2 * held), torch.ones(held)
    share = torch.cat(ends).to(first)[:, None, None]
    return (1 - share) * first + share * second


@contextmanager
def texts_of_parts(
    unet: nn.Module, early: Float[Tensor, "f tokens dim"], late: Float[Tensor, "f tokens dim"]
) -> Iterator[None]:
    """Cross-attentions read a text per frame: `early` in the input and middle blocks, `late` in the output blocks."""
    with frame_texts(unet.down_blocks, early), frame_texts(unet.mid_block, early), frame_texts(unet.up_blocks, late):
        yield


def injected(
    model: BaseModel, texts: Sequence[Text], frames: int, config, denoise: Callable[..., Tensor]
) -> Callable[..., Float[Tensor, "b f c h w"]]:
    """`denoise` for two prompts: frames move from one to the other, and where step k (0 = noisiest) is below
    `config.inject[0]` or above `config.inject[1]` all but the output blocks read the second throughout."""
    if model.abilities.attention != "pixel" or len(texts) != 2:
        raise ValueError(f"freenoise takes one prompt, or two on a UNet: asked for {len(texts)} on {model.name!r}")
    if frames < 2:
        raise ValueError("freenoise cannot move from one prompt to the other in a single latent frame: ask for more")
    first, second = (text.positive.to(model.device, model.dtype) for text in texts)
    mixed, second = interpolated(first, second, frames, config.hold), second.expand(frames, -1, -1)

    def told(level):
        step = model.solver.num_levels - 1 - level
        inject = step < config.inject[0] or step > config.inject[1]
        return texts_of_parts(model.denoiser, second if inject else mixed, mixed)

    return denoise_telling(model, told, texts[0], denoise)
