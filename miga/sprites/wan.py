"""`sprites-wan`, the small relative of Wan2.1, and what is trained from it: networks, training.

The window is the registry's: 6 latent frames (21 video frames). It is even, which FIFO-Diffusion's lookahead needs; it
holds MIGA's guidance frames beside at least one stride of new ones; and it lasts about as long as the 16 frames of
`sprites-unet`, so that the same captions fit both. `sprites-df` has a level per frame, `sprites-wan21` the 21 latent
frames (81 video frames) of Wan2.1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanTransformer3DModel
from diffusers.models.autoencoders.autoencoder_kl_wan import WanCausalConv3d, WanResample
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import PreTrainedTokenizerFast, UMT5Config, UMT5EncoderModel

from eval.files import replacing
from miga.models.wan_networks import FrameTimesteps
from miga.sprites import world
from miga.sprites.bases import SPRITES_WAN
from miga.sprites.fitting import Schedule, fit
from miga.sprites.networks import TEXT_WIDTH, save_folder
from miga.sprites.probes import Probes, asked, cells
from miga.sprites.text import vocabulary

OPTIONS = SPRITES_WAN.options
SIDE = world.SIZE // 16  # tokens along a side: 8x in the autoencoder, 2x in the patches
ENCODED = 32  # clips that are rendered and encoded together
CHANNELS = 8
PIPELINE = "WanPipeline"
IMAGE_STEPS, VIDEO_STEPS = 1400, 4200
CROP, FRAMES_SEEN = 32, 9  # what the autoencoder trains on: pixels along a side, and frames
LATE_SHIFT = 3.0  # of the noise levels, once the network knows what moves where
LATENT_NOISE = 0.1  # what the decoder learns to bear, and the standard deviation that the encoder learns to report


# ---------------------------------------------------------------------------------------------------------- networks


def new_vae() -> AutoencoderKLWan:
    """Causal autoencoder, 4x in time and 8x in space, 8 latent channels."""
    return AutoencoderKLWan(
        base_dim=12,
        z_dim=CHANNELS,
        dim_mult=[1, 2, 4, 4],
        num_res_blocks=1,
        temperal_downsample=[False, True, True],
        latents_mean=[0.0] * CHANNELS,
        latents_std=[1.0] * CHANNELS,
    )


@torch.no_grad()
def look_at_single_frames(vae: AutoencoderKLWan) -> AutoencoderKLWan:
    """Set up a new autoencoder, in place, to treat each frame as an image: a latent is the last of its four frames.

    What it then learns from images holds for videos that stand still, and videos only have to add the motion.
    """
    for module in vae.modules():
        if isinstance(module, WanCausalConv3d):
            module.weight[:, :, :-1] = 0
        if isinstance(module, WanResample) and hasattr(module, "time_conv"):
            out, into = module.time_conv.weight.shape[:2]
            module.time_conv.weight[:, :, -1, 0, 0] = torch.eye(into).repeat(out // into, 1)
            module.time_conv.bias.zero_()
    return vae


def new_transformer() -> WanTransformer3DModel:
    """Six blocks of width 128 on patches of (1, 2, 2) latents, as the real one has them: 16 tokens per latent frame."""
    return WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=4,
        attention_head_dim=32,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        text_dim=TEXT_WIDTH,
        freq_dim=64,
        ffn_dim=512,
        num_layers=6,
        cross_attn_norm=True,
        qk_norm="rms_norm_across_heads",
        rope_max_seq_len=1024,
    )


def new_tokenizer() -> PreTrainedTokenizerFast:
    """One token a word of the caption grammar; every other word, whatever its script, is the unknown one."""
    words = ["<pad>", "</s>", "<unk>", ",", ".", *vocabulary()]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=OPTIONS.text_tokens,
        model_input_names=["input_ids", "attention_mask"],
    )


def new_text_encoder(tokenizer: PreTrainedTokenizerFast) -> UMT5EncoderModel:
    """Two layers of width 64."""
    config = UMT5Config(
        vocab_size=len(tokenizer),
        d_model=TEXT_WIDTH,
        d_kv=16,
        d_ff=4 * TEXT_WIDTH,
        num_layers=2,
        num_heads=4,
        dropout_rate=0.0,
        feed_forward_proj="gated-gelu",
        pad_token_id=0,
        eos_token_id=1,
    )
    return UMT5EncoderModel(config)


class TransformerAndText(nn.Module):
    """What is trained together: the denoiser, the text tower that it listens to, and the probes."""

    def __init__(self, transformer: WanTransformer3DModel, text: UMT5EncoderModel, window: int) -> None:
        """`window`: latent frames of the clips that the probes know their way in."""
        super().__init__()
        self.transformer, self.text, self.window = transformer, text, window
        width = transformer.config.num_attention_heads * transformer.config.attention_head_dim
        self.probes = Probes(width, width, window, SIDE)
        self.seen: dict[str, torch.Tensor] = {}
        middle = transformer.blocks[len(transformer.blocks) // 2 - 1]
        middle.register_forward_hook(lambda module, inputs, output: self.seen.update(inside=output))
        transformer.norm_out.register_forward_pre_hook(lambda module, inputs: self.seen.update(end=inputs[0]))

    def forward(self, latents: torch.Tensor, sigmas: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """latents (B, F, C, h, w), sigmas (B,) or (B, F) in 0..1, tokens (B, 2, L) ids and mask -> flow.

        The text is zero where the prompt has ended, as Wan pads it: zeros are attended, there is no mask.
        """
        ids, mask = tokens.unbind(dim=1)
        context = self.text(ids, mask).last_hidden_state * mask[..., None]
        return self.transformer(latents.transpose(1, 2), 1000 * sigmas, context, return_dict=False)[0].transpose(1, 2)

    def probe(self, wanted: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
        """What the probes add to the loss, after `forward`: what is `asked` (B, 2), cells of the shapes (B, F)."""
        inside = self.seen["inside"].unflatten(1, (self.window, SIDE, SIDE))
        return self.probes(inside, self.seen["end"].unflatten(1, (self.window, SIDE**2)), wanted, cells)


def tokens_of(tokenizer: PreTrainedTokenizerFast, prompts: list[str]) -> torch.Tensor:
    """Ids and mask of prompts (N, 2, text_tokens); longer ones are cut."""
    length = OPTIONS.text_tokens
    encoded = tokenizer(prompts, padding="max_length", max_length=length, truncation=True, return_tensors="pt")
    return torch.stack([encoded.input_ids, encoded.attention_mask], dim=1)


# ---------------------------------------------------------------------------------------------------------- training


def train_vae(folder: Path, seed: int, *, device: str = "cpu") -> AutoencoderKLWan:
    """Reconstruction, first of images crowded with shapes, of which a frame of the world has few; then of videos.

    Half of the videos are such images that glide by. Each stage has its own warm-up: weights that images leave alone
    have no history in the optimizer, whose first steps on them would be several times too long.
    """
    torch.manual_seed(seed)
    vae = look_at_single_frames(new_vae()).to(device)
    crowded = world.crowded_frames(12_000, seed + 40)
    images = Schedule(IMAGE_STEPS, rate=1e-3, warmup=100, average=0.998, seed=seed)
    fit(
        vae,
        lambda generator, _: _reconstruction(vae, crowded[:, None], 32, generator),
        images,
        folder / "vae-images",
    )
    gliding = glide(crowded[:3000], FRAMES_SEEN, seed)
    moving = world.render(world.sample_scenes(1500, seed + 41, companions=0.5), 17, seed + 41).frames
    videos = Schedule(VIDEO_STEPS, rate=1e-3, warmup=100, average=0.995, seed=seed)

    def loss_of(generator: torch.Generator, step: int) -> torch.Tensor:
        return _reconstruction(vae, moving if step % 2 else gliding, 4, generator)

    fit(vae, loss_of, videos, folder / "vae")
    return vae.cpu().eval()


def glide(images: torch.Tensor, frames: int, seed: int) -> torch.Tensor:
    """Images (N, 64, 64, 3) seen through a hole of 32x32 pixels that moves by up to 2 pixels per frame, each its way.

    Returns (N, frames, 32, 32, 3).
    """
    generator = torch.Generator().manual_seed(seed)
    ends = torch.randint(-2, 3, (len(images), 2), generator=generator) * (frames - 1)
    room = images.shape[1] - CROP - ends.abs()
    start = (torch.rand(room.shape, generator=generator) * (room + 1)).long() - ends.clamp(max=0)
    place = start[:, None] + ends[:, None] // (frames - 1) * torch.arange(frames)[:, None]
    rows, columns = (place[..., axis, None] + torch.arange(CROP) for axis in (0, 1))
    number = torch.arange(len(images))[:, None, None, None]
    return images[number, rows[..., :, None], columns[..., None, :]]


def _reconstruction(vae: AutoencoderKLWan, clips: torch.Tensor, batch: int, generator: torch.Generator) -> torch.Tensor:
    """Loss on a crop of up to 9 frames (3 latents) of `batch` clips; what is learned on crops holds for whole frames.

    The latents carry a fixed small noise and are lightly pulled towards zero, which keeps them easy to diffuse.
    """
    length, room = min(FRAMES_SEEN, clips.shape[1]), (clips.shape[2] - CROP) // 8
    start, top, left = (
        int(torch.randint(n + 1, (), generator=generator)) for n in (clips.shape[1] - length, room, room)
    )
    picked = torch.randint(len(clips), (batch,), generator=generator)
    part = clips[picked, start : start + length, 8 * top : 8 * top + CROP, 8 * left : 8 * left + CROP]
    device = vae.device
    videos = _to_videos(part).to(device)
    with torch.autocast(device.type, torch.bfloat16):
        posterior = vae.encode(videos).latent_dist
        noise = torch.randn(posterior.mean.shape, generator=generator).to(device)
        decoded = vae.decode(posterior.mean + LATENT_NOISE * noise).sample
    error = decoded.float() - videos
    mean, logvar = posterior.mean.float(), posterior.logvar.float()
    pull = 1e-4 * mean.square().mean() + 1e-4 * (logvar - 2 * math.log(LATENT_NOISE)).square().mean()
    return error.square().mean() + 0.2 * error.abs().mean() + pull


def _to_videos(frames: torch.Tensor) -> torch.Tensor:
    """uint8 frames (N, T, H, W, 3) -> float32 (N, 3, T, H, W) in -1..1."""
    return frames.movedim(-1, 1).float().div_(127.5).sub_(1)


def finished_vae(folder: Path, seed: int, device: str) -> AutoencoderKLWan:
    """The autoencoder with the statistics of its latents: trained, or read back where that has been done."""
    if not (folder / "vae-final" / "config.json").exists():
        vae = train_vae(folder, seed, device=device)
        frames = world.render(world.sample_scenes(100, seed + 78), clip_frames(OPTIONS.window), seed + 78).frames
        with torch.no_grad():
            means = torch.cat([vae.encode(_to_videos(part)).latent_dist.mean for part in frames.split(10)])
        mean, std = (value.tolist() for value in (means.mean(dim=(0, 2, 3, 4)), means.std(dim=(0, 2, 3, 4))))
        vae.register_to_config(latents_mean=mean, latents_std=std)
        with replacing(folder / "vae-final") as partial:
            vae.save_pretrained(partial)
    return _frozen(AutoencoderKLWan.from_pretrained(folder / "vae-final"), device)


def shipped_vae(weights: Path, device: str) -> AutoencoderKLWan:
    """The autoencoder of a folder of weights."""
    return _frozen(AutoencoderKLWan.from_pretrained(weights, subfolder="vae", torch_dtype=torch.float32), device)


def _frozen(vae: AutoencoderKLWan, device: str) -> AutoencoderKLWan:
    return vae.eval().requires_grad_(False).to(device)


def clip_frames(window: int) -> int:
    """Video frames of a training clip of so many latent frames."""
    return 4 * (window - 1) + 1


@torch.no_grad()
def encode_clips(vae: AutoencoderKLWan, window: int, scenes: list[world.Scene], seed: int) -> torch.Tensor:
    """Render the scenes and encode them -> normalised latents (N, window, 8, 8, 8) float16."""
    device = next(vae.parameters()).device
    mean, std = (torch.tensor(v).view(1, -1, 1, 1, 1) for v in (vae.config.latents_mean, vae.config.latents_std))
    parts = []
    for start in range(0, len(scenes), ENCODED):
        videos = _to_videos(world.render(scenes[start : start + ENCODED], clip_frames(window), seed + start).frames).to(
            device
        )
        with torch.autocast(device.type, torch.bfloat16):
            latents = vae.encode(videos).latent_dist.mean.float().cpu()
        parts.append(((latents - mean) / std).transpose(1, 2).half())
    return torch.cat(parts)


def train_transformer(
    latents: torch.Tensor,
    captions_of: Callable[[torch.Tensor, torch.Generator], list[str]],
    places: np.ndarray,
    tokenizer: PreTrainedTokenizerFast,
    folder: Path,
    schedule: Schedule,
    *,
    batch: int = 16,
    device: str = "cpu",
    until: int | None = None,
    start: Path | None = None,
    levels: Literal["clip", "frame"] = "clip",
) -> TransformerAndText:
    """Flow matching on cached latents, levels shifted towards the noisy end as Wan's are.

    `levels` says whether all frames of a clip share a noise level, or each has its own (`frame_levels`).

    `captions_of` gives the captions of picked clips, `places` (clips, window, 2) says where their shapes are in pixels.
    What moves where is learned first: with full probes, and on many noisy clips. Then what it looks like, on more of
    the levels that decide it. `start` is a folder of weights to start from; they know the former.
    """
    torch.manual_seed(schedule.seed)
    if start is None:
        transformer, text = new_transformer(), new_text_encoder(tokenizer)
    else:
        transformer = WanTransformer3DModel.from_pretrained(start, subfolder="transformer", torch_dtype=torch.float32)
        text = UMT5EncoderModel.from_pretrained(start, subfolder="text_encoder", dtype=torch.float32)
    if levels == "frame":
        FrameTimesteps(transformer)
    network = TransformerAndText(transformer, text, latents.shape[1]).to(device)
    shape_cells = cells(places, SIDE)
    # on a CPU, the backward pass of fused attention is several times slower than matrix products
    kernels = (
        [SDPBackend.MATH]
        if device == "cpu"
        else [
            SDPBackend.FLASH_ATTENTION,
            SDPBackend.EFFICIENT_ATTENTION,
            SDPBackend.MATH,
        ]
    )

    def loss_of(generator: torch.Generator, step: int) -> torch.Tensor:
        picked = torch.randint(len(latents), (batch,), generator=generator)
        captions = captions_of(picked, generator)
        clean = latents[picked].float()
        noise = torch.randn(clean.shape, generator=generator)
        strata = (torch.randperm(batch, generator=generator) + torch.rand(batch, generator=generator)) / batch
        composes = start is None and step < 0.5 * schedule.steps
        shift, pure, share = (OPTIONS.shift, 4, 1.0) if composes else (LATE_SHIFT, 8, 0.1)
        if levels == "frame":
            strata = frame_levels(strata, clean.shape[1], generator)
        sigmas = shift * strata / (1 + (shift - 1) * strata)
        sigmas[::pure] = 1  # pure noise, where the caption alone decides
        noisy = torch.lerp(clean, noise, sigmas.view(batch, -1, 1, 1, 1))
        with torch.autocast(device, torch.bfloat16), sdpa_kernel(kernels):
            output = network(noisy.to(device), sigmas.to(device), tokens_of(tokenizer, captions).to(device))
        error = (output.float() - (noise - clean).to(device)).square().mean()
        return error + share * network.probe(asked(captions).to(device), shape_cells[picked].to(device))

    matrices = [parameter for parameter in network.transformer.blocks.parameters() if parameter.ndim == 2]
    return fit(network, loss_of, schedule, folder, until=until, matrices=matrices)


def frame_levels(clip_levels: torch.Tensor, frames: int, generator: torch.Generator) -> torch.Tensor:
    """A level of its own for every frame (B, frames) in 0..1, uniform; every fourth clip keeps its one level (B,).

    Clips at one level are what a model samples its native clips from; drawn independently they would never occur.
    """
    own = torch.rand(len(clip_levels), frames, generator=generator)
    own[::4] = clip_levels[::4, None]
    return own


def scheduler() -> UniPCMultistepScheduler:
    """The solver of Wan2.1 with its shift."""
    return UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=OPTIONS.shift)


def export(network: TransformerAndText, vae: AutoencoderKLWan, tokenizer, weights: Path) -> None:
    """Write the diffusers-style folder of a transformer of Wan's kind."""
    parts = {
        "transformer": network.transformer,
        "vae": vae,
        "text_encoder": network.text,
        "tokenizer": tokenizer,
        "scheduler": scheduler(),
    }
    save_folder(weights, parts, PIPELINE)
