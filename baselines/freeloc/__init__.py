"""FreeLOC: far frames at nearer positions, and sparse attention in the blocks that mind a long context."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from baselines.freeloc.branches import Lengths, branch_attention, tsa, vrpr
from miga.engine.attention import denoise_with
from miga.engine.base_model import BaseModel, Text
from miga.engine.method import Card, Method, MethodConfig
from miga.engine.noise import Noise
from miga.engine.sampling import sample_clip
from miga.engine.trace import Trace

BLOCKS = 30  # of Wan2.1-T2V-1.3B, where the released list was found
SPARSE = (0, 1, 4, 6, 7, 9, 10, 11, 13, 14, 15, 16, 18, 22, 23, 24, 25)
CLIP = 21  # latent frames of Wan's own clip, for which the released lengths are
TOKENS = 1560  # of a latent frame at 480x832, for which the released rounding is
LONG = 61  # latent frames from which on the lengths for 81 hold
VRPR = {False: dict(W1=12, W2=20), True: dict(W1=10, W2=14)}  # for 41 and for 81 latent frames


class FreeLOC(MethodConfig):
    """Parameters of FreeLOC. Lengths default to the released ones, in latent frames of a base whose own clip has 21;
    on another base to as large a share of its clip (G1, G2, group and end_sink stay)."""

    layers: tuple[int, ...] | None = Field(
        None, description="blocks with sparse attention; default: the released list of Wan2.1-1.3B's 30 blocks"
    )
    W1: int | None = Field(
        None, ge=1, description="VRPR: up to this distance positions stay; default by length: 12, 10"
    )
    W2: int | None = Field(None, ge=1, description="VRPR: from this distance frames are far; default by length: 20, 14")
    G1: int = Field(2, ge=1, description="VRPR: frames that share a position at middle distance")
    G2: int = Field(8, ge=1, description="VRPR: frames that share a position far away")
    clip: int | None = Field(None, ge=0, description="VRPR: highest re-encoded position of the far side; default: 20")
    D1: int | None = Field(None, ge=1, description="TSA: all keys up to this distance; default: 8")
    D2: int | None = Field(None, ge=1, description="TSA: a stripe of keys up to this distance; default: 24")
    group: int = Field(8, ge=1, description="TSA: frames that share a position where a sink is far away")
    shift: int | None = Field(None, ge=0, description="TSA: positions between a query and a far sink; default: 12")
    round_to: int | None = Field(
        None,
        ge=1,
        description="tokens to which distances are rounded up; default: 128 at 1560 tokens per frame, else 1",
    )
    end_sink: int | None = Field(78, ge=0, description="TSA: frame after which keys are a sink too; none: no such sink")
    guidance_scale: float | None = Field(None, description="classifier-free guidance; default: the model's")

    def lengths(self, frames: int, window: int, tokens: int) -> Lengths:
        """All lengths for a video of so many latent frames and a base with such a clip."""
        released = dict(VRPR[frames >= LONG], D1=8, D2=24, shift=12)
        own = {name: max(1, round(value * window / CLIP)) for name, value in released.items()}
        own |= dict(clip=window - 1, round_to=128 if tokens == TOKENS else 1)
        chosen = {field.name: getattr(self, field.name) for field in fields(Lengths)}
        return Lengths(
            **{name: own[name] if name in own and value is None else value for name, value in chosen.items()}
        )

    def sparse(self, blocks: int) -> frozenset[int]:
        """Blocks with sparse attention."""
        if self.layers is not None:
            if outside := [layer for layer in self.layers if not 0 <= layer < blocks]:
                raise ValueError(f"freeloc: layers: there is no block {outside[0]}: this network has {blocks}, from 0")
            return frozenset(self.layers)
        if blocks > BLOCKS:
            raise ValueError(
                f"freeloc knows which blocks mind a long context for Wan2.1-1.3B's {BLOCKS} only, and this network has "
                f"{blocks}: say which with `layers`"
            )
        return frozenset(block for block in range(blocks) if block * BLOCKS // blocks in SPARSE)


def generate(
    model: BaseModel, texts: Sequence[Text], num_latents: int, config: FreeLOC, noise: Noise, trace: Trace
) -> Iterator[Float[Tensor, "f c h w"]]:
    """Ordinary sampling of the whole video, each block with its kind of attention, at every step."""
    _, height, width = model.latent_shape
    _, patch_height, patch_width = model.denoiser.config.patch_size
    tokens = (height // patch_height) * (width // patch_width)
    lengths = config.lengths(num_latents, model.window, tokens)
    sparse = config.sparse(len(model.denoiser.blocks))
    trace.add("freeloc", layers=sorted(sparse), **vars(lengths))
    kinds = {kind: [*kind(num_latents, tokens, lengths).values()] for kind in (tsa, vrpr)}

    def attend(q, k, v, grid):
        return branch_attention(q, k, v, grid, branches=kinds[tsa if grid.block in sparse else vrpr])

    denoise = denoise_with(model, lambda level: attend)
    yield sample_clip(model, texts[0], noise, num_latents, None, config.guidance_scale, denoise)


METHOD = Method(
    name="freeloc",
    card=Card(
        label="FreeLOC",
        summary="Far frames at nearer, grouped positions; sparse attention in blocks that mind a long context.",
        cost="Memory linear in frames; time linear in the sparse blocks (17 of Wan's 30), quadratic in the others.",
        version="1",
        length="finite",
        paper="Free-Lunch Long Video Generation via Layer-Adaptive O.O.D Correction",
        year=2026,
        url="https://arxiv.org/abs/2603.25209",
        licence="Apache-2.0",
        needs=dict(attention=("joint",), rotary=(True,)),
        published=("wan2.1-1.3b",),
        notes=(
            "Follows the released code, repaired where it cannot run: pairs between near and mid distance are in no "
            "branch, and distances are rounded up to 128 tokens. It has lengths for 41 and 81 latent frames only: "
            "below 61 we take the former, from there on the latter. Its list of blocks is for Wan2.1-1.3B's 30; "
            "a larger network needs `layers`, a smaller one gets blocks at the same relative depth, a base whose clip "
            "has not 21 latent frames gets lengths in proportion: both our choice. A UNet without rotary positions has "
            "nothing to re-encode."
        ),
    ),
    config=FreeLOC,
    generate=generate,
)
