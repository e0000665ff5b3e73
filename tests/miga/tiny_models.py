"""Model directories with random weights: the real classes at the smallest size that has every kind of block."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLWan,
    SkyReelsV2Transformer3DModel,
    UNet3DConditionModel,
    WanTransformer3DModel,
)
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import nn
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    PreTrainedTokenizerFast,
    UMT5Config,
    UMT5EncoderModel,
)

WORDS = ("a", "red", "green", "blue", "circle", "square", "triangle", "moves", "left", "right", "over", "the")


def randomise(network: nn.Module, seed: int = 0) -> nn.Module:
    """Every parameter drawn anew, also those that start at zero: norms about 1, the rest small."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim == 1:
                noise = 0.1 * noise + (1 if name.endswith(("weight", "gamma")) else 0)
            else:
                noise = noise / parameter[0].numel() ** 0.5
            parameter.copy_(noise.reshape(parameter.shape))
    return network.eval()


def write_index(directory: Path, parts: dict[str, list[str]], like: str, options: dict[str, Any]) -> Path:
    about = dict(name=directory.name, like=like, options=options)
    (directory / "model_index.json").write_text(json.dumps({**parts, "_miga": about}))
    return directory


def clip_tokenizer() -> CLIPTokenizer:
    """CLIP's layout of the vocabulary without merges: every text becomes bytes."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = ["!", *(letter for letter in letters if letter != "!")]
    tokens += [f"{token}</w>" for token in tokens] + ["<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={token: i for i, token in enumerate(tokens)}, merges=[], model_max_length=16)


def tiny_unet(directory: Path, seed: int = 0, **options: Any) -> Path:
    """A directory of VideoCrafter2's kind: 16x16 pixels, latents (4, 8, 8), window 4, 4 levels."""
    directory.mkdir(parents=True, exist_ok=True)
    unet = UNet3DConditionModel(
        block_out_channels=(8, 16),
        down_block_types=("CrossAttnDownBlock3D", "DownBlock3D"),
        up_block_types=("UpBlock3D", "CrossAttnUpBlock3D"),
        layers_per_block=1,
        cross_attention_dim=12,
        attention_head_dim=4,
        norm_num_groups=4,
    )
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 8),
        layers_per_block=1,
        norm_num_groups=4,
        latent_channels=4,
    )
    tokenizer = clip_tokenizer()
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=12,
            intermediate_size=24,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=16,
            bos_token_id=len(tokenizer) - 2,
            eos_token_id=len(tokenizer) - 1,
            pad_token_id=0,
        )
    )
    parts = dict(unet=unet, vae=vae, text_encoder=text)
    for number, (part, network) in enumerate(parts.items()):
        randomise(network, seed + number).save_pretrained(directory / part)
    tokenizer.save_pretrained(directory / "tokenizer")
    index = dict(unet=["diffusers", "UNet3DConditionModel"], vae=["diffusers", "AutoencoderKL"])
    defaults = dict(num_levels=4, height=16, width=16, window=4, guidance_scale=3.0)
    return write_index(directory, index, "sprites-unet", defaults | options)


def word_tokenizer() -> PreTrainedTokenizerFast:
    """A word is an id; as in UMT5, 0 pads and every text ends with 1."""
    vocab = {token: i for i, token in enumerate(["<pad>", "</s>", "<unk>", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    from tokenizers.processors import TemplateProcessing

    tokenizer.post_processor = TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")


def tiny_wan(directory: Path, seed: int = 0, **options: Any) -> Path:
    """A directory of Wan2.1's kind: 32x32 pixels, latents (16, 4, 4), window 3, 4 levels."""
    return write_wan(
        directory, seed, tiny_dit(16), AutoencoderKLWan(base_dim=4, num_res_blocks=1), "sprites-wan", options
    )


def tiny_df(directory: Path, seed: int = 0, **options: Any) -> Path:
    """A directory of the kind of sprites-df: Wan's class, told a level per frame; sizes as of `tiny_wan`."""
    vae = AutoencoderKLWan(base_dim=4, num_res_blocks=1)
    return write_wan(directory, seed, tiny_dit(16), vae, "sprites-df", options)


def tiny_dit(channels: int, cls: type = WanTransformer3DModel, **more: Any) -> nn.Module:
    return cls(
        in_channels=channels,
        out_channels=channels,
        num_attention_heads=2,
        attention_head_dim=12,
        text_dim=12,
        freq_dim=16,
        ffn_dim=32,
        num_layers=2,
        **more,
    )


def write_wan(
    directory: Path, seed: int, transformer: nn.Module, vae: nn.Module, like: str, options: dict[str, Any]
) -> Path:
    """A directory of Wan's layout with random weights in these networks and a small text tower."""
    directory.mkdir(parents=True, exist_ok=True)
    tokenizer = word_tokenizer()
    text = UMT5EncoderModel(
        UMT5Config(vocab_size=len(tokenizer), d_model=12, d_kv=6, d_ff=24, num_layers=2, num_heads=2)
    )
    parts = dict(transformer=transformer, vae=vae, text_encoder=text)
    for number, (part, network) in enumerate(parts.items()):
        randomise(network, seed + number).save_pretrained(directory / part)
    tokenizer.save_pretrained(directory / "tokenizer")
    index = dict(transformer=["diffusers", type(transformer).__name__], vae=["diffusers", "AutoencoderKLWan"])
    defaults = dict(num_levels=4, height=32, width=32, window=3, guidance_scale=3.0, text_tokens=10)
    return write_index(directory, index, like, defaults | options)


def tiny_ti2v(directory: Path, seed: int = 0, **options: Any) -> Path:
    """A directory of Wan2.2-TI2V's kind: patches of 2 pixels in the autoencoder, latents (6, 2, 2), window 3."""
    statistics = dict(latents_mean=[0.1 * i for i in range(6)], latents_std=[1 + 0.1 * i for i in range(6)])
    vae = AutoencoderKLWan(
        base_dim=8,
        decoder_base_dim=8,
        z_dim=6,
        dim_mult=[1, 1, 2, 2],
        num_res_blocks=1,
        is_residual=True,
        in_channels=12,
        out_channels=12,
        patch_size=2,
        scale_factor_spatial=16,
        **statistics,
    )
    return write_wan(directory, seed, tiny_dit(6), vae, "wan2.2-ti2v-5b", options)


def tiny_skyreels(directory: Path, seed: int = 0, **options: Any) -> Path:
    """A directory of SkyReels-V2-DF's kind, with the embedding of a frame rate; sizes as of `tiny_wan`."""
    transformer = tiny_dit(16, SkyReelsV2Transformer3DModel, inject_sample_info=True)
    return write_wan(
        directory, seed, transformer, AutoencoderKLWan(base_dim=4, num_res_blocks=1), "skyreels-v2-df-1.3b", options
    )
