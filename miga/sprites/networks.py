"""The networks of the sprites base models: the classes of the real ones at tiny width, and their folders on disk."""

from __future__ import annotations

import json
from pathlib import Path

import diffusers
import torch
import transformers
from diffusers import AutoencoderKL, DDIMScheduler, UNet3DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from miga.sprites import world
from miga.sprites.text import MAX_TOKENS

WEIGHTS = Path(__file__).parent / "weights"
TEXT_WIDTH = 64
UNET_CHANNELS = (32, 64)


def new_vae() -> AutoencoderKL:
    """8x in space, 4 latent channels, the classes of VideoCrafter2's first stage at about 0.9 M parameters."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(16, 32, 48, 64),
        layers_per_block=1,
        norm_num_groups=2,  # more groups would hold too few channels to keep the absolute colour of a flat image
        latent_channels=4,
        sample_size=world.SIZE,
    )


def new_unet() -> UNet3DConditionModel:
    """VideoCrafter2's blocks at two resolutions, 8x8 by convolutions and `transformer_in`, 4x4 with full attention.

    On latents this small, attention at 4x4 costs a quarter of attention at 8x8 and already sees the whole frame.
    """
    return UNet3DConditionModel(
        down_block_types=("DownBlock3D", "CrossAttnDownBlock3D"),
        up_block_types=("CrossAttnUpBlock3D", "UpBlock3D"),
        block_out_channels=UNET_CHANNELS,
        layers_per_block=1,
        norm_num_groups=4,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=8,
        sample_size=world.SIZE // 8,
    )


def new_clip_text(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """Two causal layers of width 64."""
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=TEXT_WIDTH,
        intermediate_size=4 * TEXT_WIDTH,
        projection_dim=TEXT_WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=MAX_TOKENS,
        hidden_act="gelu",
        pad_token_id=0,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return CLIPTextModel(config)


def for_training(network: nn.Module) -> nn.Module:
    """Set up a diffusers network to train fast on a CPU: no dropout, plain attention, convolutions channels last.

    The fused attention kernel is several times slower than matrix products for heads as narrow as these in bfloat16.
    """
    network.eval()  # the only thing that depends on the mode is dropout, which a domain drawn without end does not need
    for module in network.modules():
        if hasattr(module, "set_processor"):
            module.set_processor(AttnProcessor())
        if isinstance(module, nn.Conv2d):
            module.to(memory_format=torch.channels_last)
    return network


def ddim_config() -> DDIMScheduler:
    """The noise schedule of VideoCrafter2: scaled linear betas over 1000 steps, noise prediction."""
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        prediction_type="epsilon",
        clip_sample=False,
        timestep_spacing="linspace",
    )


def save_folder(folder: Path, parts: dict[str, object], pipeline: str) -> None:
    """Write a diffusers-style folder: half-precision safetensors, one sub-folder a part, and model_index.json."""
    index: dict[str, object] = {"_class_name": pipeline, "_diffusers_version": diffusers.__version__}
    for name, part in parts.items():
        library = "transformers" if type(part).__module__.startswith(transformers.__name__) else "diffusers"
        index[name] = [library, type(part).__name__]
        if isinstance(part, nn.Module):
            dtype = next(part.parameters()).dtype
            part.half().save_pretrained(folder / name, safe_serialization=True)
            part.to(dtype)
            _forget_origin(folder / name / "config.json")
        else:
            part.save_pretrained(folder / name)
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")


def _forget_origin(path: Path) -> None:
    """Drop the folder that a network was read from: a path of the machine that trained it."""
    config = json.loads(path.read_text())
    config.pop("_name_or_path", None)
    path.write_text(json.dumps(config, indent=2) + "\n")


@torch.no_grad()
def whiten_vae(vae: AutoencoderKL, images: torch.Tensor) -> AutoencoderKL:
    """Fold an affine map per latent channel into the 1x1 convolutions around the latents, in place.

    Afterwards each latent channel of `images` (N, 3, 64, 64) has mean 0 and standard deviation 1, decoded images are
    the same as before, and the scaling factor is 1.
    """
    means = torch.cat([vae.encode(part).latent_dist.mean for part in images.split(64)])
    shift, scale = means.mean(dim=(0, 2, 3)), means.std(dim=(0, 2, 3))
    outward, inward = vae.quant_conv, vae.post_quant_conv
    inward.bias += inward.weight[:, :, 0, 0] @ shift
    inward.weight *= scale.view(1, -1, 1, 1)
    channels = len(shift)
    outward.weight[:channels] /= scale.view(-1, 1, 1, 1)
    outward.bias[:channels] = (outward.bias[:channels] - shift) / scale
    outward.bias[channels:] -= 2 * scale.log()  # the log-variances follow
    vae.register_to_config(scaling_factor=1.0)
    return vae
