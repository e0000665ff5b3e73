"""Original checkpoints of VideoCrafter2, Wan and SkyReels to the diffusers-style directories that `miga.models` reads.

Every tensor of a network is accounted for: its name is mapped, its shape is the one that the diffusers or transformers
class of the configuration has, and none is left over. Nothing is copied in memory but the tensors of one network.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import torch
from accelerate import init_empty_weights
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from eval.files import write_json
from miga.models import registry
from miga.models.videocrafter2 import FPS_EMBEDDING

Tensors = dict[str, Tensor]

# What VideoCrafter's inference_t2v_512_v2.0.yaml says of the three networks.
VIDEOCRAFTER2 = dict(
    unet=dict(
        in_channels=4,
        out_channels=4,
        model_channels=320,
        attention_resolutions=[4, 2, 1],
        num_res_blocks=2,
        channel_mult=[1, 2, 4, 4],
        num_head_channels=64,
        context_dim=1024,
    ),
    vae=dict(
        in_channels=3, out_ch=3, z_channels=4, ch=128, ch_mult=[1, 2, 4, 4], num_res_blocks=2, scale_factor=0.18215
    ),
    text=dict(width=1024, heads=16, layers=24, context_length=77, vocab_size=49408),
)
# What the repositories of Wan and SkyReels say of the networks of their text-to-video models.
WAN_VAE = dict(dim=96, z_dim=16, dim_mult=[1, 2, 4, 4], num_res_blocks=2, temperal_downsample=[False, True, True])
UMT5_XXL = dict(
    vocab_size=256384,
    dim=4096,
    dim_attn=4096,
    dim_ffn=10240,
    num_heads=64,
    encoder_layers=24,
    num_buckets=32,
    max_distance=128,
)
WAN_DIT = dict(freq_dim=256, in_dim=16, out_dim=16, text_dim=4096, eps=1e-6, patch_size=[1, 2, 2])
TI2V_MEAN = [
    -0.2289, -0.0052, -0.1323, -0.2339, -0.2799, 0.0174, 0.1838, 0.1557, -0.1382, 0.0542, 0.2813, 0.0891,
    0.157, -0.0098, 0.0375, -0.1825, -0.2246, -0.1207, -0.0698, 0.5109, 0.2665, -0.2108, -0.2158, 0.2502,
    -0.2055, -0.0322, 0.1109, 0.1567, -0.0729, 0.0899, -0.2799, -0.123, -0.0313, -0.1649, 0.0117, 0.0723,
    -0.2839, -0.2083, -0.052, 0.3748, 0.0152, 0.1957, 0.1433, -0.2944, 0.3573, -0.0548, -0.1681, -0.0667,
]  # fmt: skip
TI2V_STD = [
    0.4765, 1.0364, 0.4514, 1.1677, 0.5313, 0.499, 0.4818, 0.5013, 0.8158, 1.0344, 0.5894, 1.0901,
    0.6885, 0.6165, 0.8454, 0.4978, 0.5759, 0.3523, 0.7135, 0.6804, 0.5833, 1.4146, 0.8986, 0.5659,
    0.7069, 0.5338, 0.4889, 0.4917, 0.4069, 0.4999, 0.6866, 0.4093, 0.5709, 0.6065, 0.6415, 0.4944,
    0.5726, 1.2042, 0.5458, 1.6887, 0.3971, 1.06, 0.3943, 0.5537, 0.5444, 0.4089, 0.7468, 0.7744,
]  # fmt: skip
TI2V_VAE = WAN_VAE | dict(
    dim=160, dec_dim=256, z_dim=48, is_residual=True, patch_size=2, latents_mean=TI2V_MEAN, latents_std=TI2V_STD
)
SMALL_DIT = WAN_DIT | dict(dim=1536, ffn_dim=8960, num_heads=12, num_layers=30)
WAN = {
    "wan2.1-1.3b": dict(dit=SMALL_DIT, vae=WAN_VAE, umt5=UMT5_XXL),
    "skyreels-v2-df-1.3b": dict(dit=SMALL_DIT | dict(inject_sample_info=True), vae=WAN_VAE, umt5=UMT5_XXL),
    "wan2.2-ti2v-5b": dict(
        dit=WAN_DIT | dict(in_dim=48, out_dim=48, dim=3072, ffn_dim=14336, num_heads=24, num_layers=30),
        vae=TI2V_VAE,
        umt5=UMT5_XXL,
    ),
    "wan2.1-14b": dict(
        dit=WAN_DIT | dict(dim=5120, ffn_dim=13824, num_heads=40, num_layers=40), vae=WAN_VAE, umt5=UMT5_XXL
    ),
}


def convert(name: str, source: Path, out: Path, config: Mapping[str, Any] | None = None) -> Path:
    """Convert the original weights of a registered model to a model directory.

    name: of a registered model that can be converted, such as videocrafter2 or wan2.2-ti2v-5b.
    source: VideoCrafter2's `model.ckpt`, or the folder of Wan or SkyReels as its authors publish it.
    out: the directory to make; it appears when it is whole and must not exist before.
    config: sizes of the networks where they are not the released ones, as `VIDEOCRAFTER2` and `WAN` have them.

    `ValueError`: one sentence that names the file, what was expected in it, and what to do.
    """
    spec = registry.get(name)
    if not spec.convert:
        can = ", ".join(other for other in registry.names() if registry.get(other).convert)
        raise ValueError(f"{name} has no original checkpoint to convert: known are {can}")
    if out.exists():
        raise ValueError(f"{out} exists: remove it or choose another folder")
    if not source.exists():
        raise ValueError(f"{source}: no such file or folder; `miga models fetch {name}` downloads the original weights")
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        index = resolve_name(spec.convert)(source, partial, name, config)
        write_json(partial / "model_index.json", index | {"_miga": dict(name=name, like=name)})
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return out


# --- reading and writing ---


def read(path: Path, expected: str) -> Tensors:
    """Tensors of a checkpoint, mapped from the file where the format allows. Pickles may hold tensors only."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        found = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except FileNotFoundError:
        raise ValueError(f"{path} is missing: expected {expected}") from None
    except (RuntimeError, OSError, EOFError, SafetensorError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{path} is cut short or not a checkpoint ({reason}): expected {expected}; download it again"
        ) from None
    except Exception as error:  # pickle.UnpicklingError and whatever a hostile pickle makes of it
        raise ValueError(
            f"{path} holds more than tensors ({type(error).__name__}) and is not opened: expected {expected}"
        ) from None
    found = found.get("state_dict", found) if isinstance(found, dict) else found
    if not isinstance(found, dict) or not all(map(torch.is_tensor, found.values())):
        raise ValueError(f"{path} is not a table of tensors: expected {expected}")
    return found


def write(network: nn.Module, tensors: Tensors, folder: Path, source: Path, aliases: Iterable[str] = ()) -> None:
    """Save the tensors as the weights of a network (which may be on the meta device) after comparing all of them.

    `aliases` are names of the network that repeat another tensor and are not saved.
    """
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items() if name not in set(aliases)}
    what = f"{source} is not what a {type(network).__name__} of this configuration needs"
    remedy = "check that it is the text-to-video checkpoint of the model that you named, and its configuration"
    if missing := sorted(expected.keys() - tensors.keys()):
        raise ValueError(f"{what}: {len(missing)} tensors are missing, such as {missing[0]}; {remedy}")
    if surplus := sorted(tensors.keys() - expected.keys()):
        raise ValueError(f"{what}: {len(surplus)} tensors are left over, such as {surplus[0]}; {remedy}")
    for name, shape in expected.items():
        if tuple(tensors[name].shape) != shape:
            raise ValueError(f"{what}: {name} is {tuple(tensors[name].shape)} instead of {shape}; {remedy}")
    folder.mkdir()
    if isinstance(network, PreTrainedModel):
        network.config.architectures = [type(network).__name__]
        network.config.save_pretrained(folder)
        file = folder / "model.safetensors"
    else:
        network.save_config(folder)
        file = folder / "diffusion_pytorch_model.safetensors"
    save(tensors, file)


def save(tensors: Tensors, file: Path) -> None:
    """Write safetensors, readable by whoever may read the folder: the library keeps them from everybody else."""
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, file, {"format": "pt"})
    file.chmod(file.parent.stat().st_mode & 0o666)


def empty(build: Callable[..., nn.Module], *args: Any, **kwargs: Any) -> nn.Module:
    """A network without memory behind its parameters: names and shapes only."""
    with init_empty_weights():
        return build(*args, **kwargs)


def below(tensors: Tensors, prefix: str) -> Tensors:
    """The tensors under a prefix, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def rename(name: str, rules: Iterable[tuple[str, str]]) -> str:
    """A name after all rules (regular expression, replacement), in order."""
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name


# --- VideoCrafter2 ---


def convert_videocrafter2(
    checkpoint: Path, out: Path, name: str, config: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The three networks of `model.ckpt`, its frame-rate MLP (kept apart: fps stays a run parameter) and a tokenizer.

    Returns the entries of `model_index.json`.
    """
    config = config or VIDEOCRAFTER2
    tensors = read(checkpoint, "VideoCrafter2's model.ckpt (hub: VideoCrafter/VideoCrafter2)")
    unet, vae = below(tensors, "model.diffusion_model."), below(tensors, "first_stage_model.")
    text = below(tensors, "cond_stage_model.model.")
    if not (unet and vae and text):
        found = ", ".join(sorted({name.split(".")[0] for name in tensors})[:5])
        raise ValueError(
            f"{checkpoint} has no model.diffusion_model, first_stage_model and cond_stage_model (found: {found}): "
            "expected VideoCrafter2's model.ckpt (hub: VideoCrafter/VideoCrafter2)"
        )
    if not any("temopral_conv" in name for name in unet) or any("relative_position" in name for name in unet):
        raise ValueError(
            f"{checkpoint} is a VideoCrafter1 checkpoint (its temporal layers differ): expected VideoCrafter2's "
            "model.ckpt; get it with `miga models fetch videocrafter2`"
        )
    fps = {rename(name, FPS_RULES): unet.pop(name) for name in [n for n in unet if n.startswith("fps_embedding.")]}
    write(*lvdm_unet(unet, config["unet"]), out / "unet", checkpoint)
    if fps:
        (out / FPS_EMBEDDING).parent.mkdir()
        save(fps, out / FPS_EMBEDDING)
    write(*lvdm_vae(vae, config["vae"]), out / "vae", checkpoint)
    write(*open_clip_text(text, config["text"]), out / "text_encoder", checkpoint)
    clip_tokenizer(config["text"]["context_length"]).save_pretrained(out / "tokenizer")
    return dict(
        _class_name="VideoCrafter2",
        unet=["diffusers", "UNet3DConditionModel"],
        vae=["diffusers", "AutoencoderKL"],
        text_encoder=["transformers", "CLIPTextModel"],
        tokenizer=["transformers", "CLIPTokenizer"],
    )


FPS_RULES = ((r"^fps_embedding\.0", "linear_1"), (r"^fps_embedding\.2", "linear_2"))
RESIDUAL_RULES = (
    (r"^in_layers\.0", "norm1"),
    (r"^in_layers\.2", "conv1"),
    (r"^emb_layers\.1", "time_emb_proj"),
    (r"^out_layers\.0", "norm2"),
    (r"^out_layers\.3", "conv2"),
    (r"^skip_connection", "conv_shortcut"),
)
UNET_RULES = (
    (r"^input_blocks\.0\.0", "conv_in"),
    (r"^time_embed\.0", "time_embedding.linear_1"),
    (r"^time_embed\.2", "time_embedding.linear_2"),
    (r"^init_attn\.0", "transformer_in"),
    (r"^out\.0", "conv_norm_out"),
    (r"^out\.2", "conv_out"),
)


def lvdm_unet(tensors: Tensors, config: Mapping[str, Any]) -> tuple[nn.Module, Tensors]:
    """LVDM's 3-D UNet as a UNet3DConditionModel. `config` are the params of the yaml's `unet_config`."""
    from diffusers import UNet3DConditionModel

    attends = [2**level in config["attention_resolutions"] for level in range(len(config["channel_mult"]))]
    network = empty(
        UNet3DConditionModel,
        in_channels=config["in_channels"],
        out_channels=config["out_channels"],
        block_out_channels=tuple(config["model_channels"] * factor for factor in config["channel_mult"]),
        down_block_types=tuple("CrossAttnDownBlock3D" if yes else "DownBlock3D" for yes in attends),
        up_block_types=tuple("CrossAttnUpBlock3D" if yes else "UpBlock3D" for yes in reversed(attends)),
        layers_per_block=config["num_res_blocks"],
        cross_attention_dim=config["context_dim"],
        attention_head_dim=config["num_head_channels"],
    )
    linear = re.compile(r"(transformer_in|attentions\.\d+)\.proj_(in|out)\.weight$")
    converted = {unet_name(name, config["num_res_blocks"]): tensor for name, tensor in tensors.items()}
    # 1x1 convolutions of the original are linear layers here
    return network, {n: t.flatten(1) if linear.search(n) else t for n, t in converted.items()}


def unet_name(name: str, layers: int) -> str:
    """diffusers' name of a parameter of LVDM's UNet with `layers` residual blocks per level."""
    if match := re.fullmatch(r"middle_block\.([0-3])\.(.*)", name):
        kind, layer = (("residual", 0), ("spatial", 0), ("temporal", 0), ("residual", 1))[int(match[1])]
        return block_name("mid_block", kind, layer, match[2])
    match = re.fullmatch(r"(input|output)_blocks\.(\d+)\.(\d)\.(.*)", name)
    if match is None or name.startswith("input_blocks.0."):
        return rename(name, UNET_RULES)
    side, index, part, rest = match.groups()
    level, layer = divmod(int(index) - (side == "input"), layers + 1)
    block = f"{'down' if side == 'input' else 'up'}_blocks.{level}"
    if rest.startswith("op."):
        return f"{block}.downsamplers.0.conv.{rest.removeprefix('op.')}"
    if rest.startswith("conv."):
        return f"{block}.upsamplers.0.{rest}"
    return block_name(block, ("residual", "spatial", "temporal")[int(part)], layer, rest)


def block_name(block: str, kind: str, layer: int, rest: str) -> str:
    """The name inside a block; a residual block of the original holds its temporal convolutions (its spelling)."""
    if kind != "residual":
        return f"{block}.{'temp_' * (kind == 'temporal')}attentions.{layer}.{rest}"
    if rest.startswith("temopral_conv."):
        return f"{block}.temp_convs.{layer}.{rest.removeprefix('temopral_conv.')}"
    return f"{block}.resnets.{layer}.{rename(rest, RESIDUAL_RULES)}"


def lvdm_vae(tensors: Tensors, config: Mapping[str, Any]) -> tuple[nn.Module, Tensors]:
    """The first stage (Stable Diffusion's) as an AutoencoderKL. `config`: the yaml's `ddconfig` with `scale_factor`."""
    from diffusers import AutoencoderKL

    levels = len(config["ch_mult"])
    network = empty(
        AutoencoderKL,
        in_channels=config["in_channels"],
        out_channels=config["out_ch"],
        latent_channels=config["z_channels"],
        block_out_channels=tuple(config["ch"] * factor for factor in config["ch_mult"]),
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        layers_per_block=config["num_res_blocks"],
        scaling_factor=config["scale_factor"],
    )
    rules = (
        (r"\.down\.(\d+)\.block\.", r".down_blocks.\1.resnets."),
        (r"\.down\.(\d+)\.downsample\.", r".down_blocks.\1.downsamplers.0."),
        *((rf"\.up\.{level}\.block\.", f".up_blocks.{levels - 1 - level}.resnets.") for level in range(levels)),
        *((rf"\.up\.{level}\.upsample\.", f".up_blocks.{levels - 1 - level}.upsamplers.0.") for level in range(levels)),
        (r"\.mid\.block_1\.", ".mid_block.resnets.0."),
        (r"\.mid\.block_2\.", ".mid_block.resnets.1."),
        (r"\.mid\.attn_1\.norm\.", ".mid_block.attentions.0.group_norm."),
        (r"\.mid\.attn_1\.([qkv])\.", r".mid_block.attentions.0.to_\1."),
        (r"\.mid\.attn_1\.proj_out\.", ".mid_block.attentions.0.to_out.0."),
        (r"\.nin_shortcut\.", ".conv_shortcut."),
        (r"coder\.norm_out\.", "coder.conv_norm_out."),
    )
    converted = {rename(name, rules): tensor for name, tensor in tensors.items() if not name.startswith("loss.")}
    # 1x1 convolutions of the original's attention are linear layers here
    linear = re.compile(r"attentions\.0\.to_.*weight$")
    return network, {n: t.flatten(1) if linear.search(n) else t for n, t in converted.items()}


def open_clip_text(tensors: Tensors, config: Mapping[str, Any]) -> tuple[nn.Module, Tensors]:
    """open_clip's text tower as a CLIPTextModel that ends after the last block but one and the final LayerNorm."""
    from transformers import CLIPTextConfig, CLIPTextModel

    layers = config["layers"] - 1
    network = empty(
        CLIPTextModel,
        CLIPTextConfig(
            vocab_size=config["vocab_size"],
            hidden_size=config["width"],
            intermediate_size=4 * config["width"],
            num_hidden_layers=layers,
            num_attention_heads=config["heads"],
            max_position_embeddings=config["context_length"],
            hidden_act="gelu",
            layer_norm_eps=1e-5,
            pad_token_id=0,
            bos_token_id=config["vocab_size"] - 2,
            eos_token_id=config["vocab_size"] - 1,
        ),
    )
    rules = (
        (r"^token_embedding\.", "embeddings.token_embedding."),
        (r"^positional_embedding$", "embeddings.position_embedding.weight"),
        (r"^ln_final\.", "final_layer_norm."),
        (r"^transformer\.resblocks\.", "encoder.layers."),
        (r"\.ln_([12])\.", r".layer_norm\1."),
        (r"\.mlp\.c_fc\.", ".mlp.fc1."),
        (r"\.mlp\.c_proj\.", ".mlp.fc2."),
        (r"\.attn\.", ".self_attn."),
    )
    unused = re.compile(rf"transformer\.resblocks\.{layers}\.|text_projection$|logit_scale$|attn_mask$")
    converted = {}
    for name, tensor in tensors.items():
        if unused.match(name):
            continue
        target = rename(name, rules)
        if ".in_proj_" in target:
            for letter, third in zip("qkv", tensor.chunk(3), strict=True):
                converted[target.replace("in_proj_", f"{letter}_proj.")] = third
        else:
            converted[target] = tensor
    return network, converted


def clip_tokenizer(length: int = 77):
    """CLIP's tokenizer: its vocabulary is 256 bytes, the same at the end of a word, the merges, and two marks.

    The merges are OpenAI's (MIT licence), as open_clip uses them.
    """
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizer

    lines = Path(__file__).with_name("clip_merges.txt").read_text(encoding="utf-8").splitlines()
    merges = [tuple(line.split()) for line in lines]
    plain = [chr(c) for c in (*range(33, 127), *range(161, 173), *range(174, 256))]
    letters = plain + sorted(set(ByteLevel.alphabet()) - set(plain))
    tokens = letters + [f"{letter}</w>" for letter in letters] + ["".join(pair) for pair in merges]
    vocabulary = {token: i for i, token in enumerate([*tokens, "<|startoftext|>", "<|endoftext|>"])}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=length)


# --- Wan, SkyReels ---


def convert_wan(source: Path, out: Path, name: str, config: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The three networks and the tokenizer of a folder of Wan or SkyReels as its authors publish it.

    Returns the entries of `model_index.json`.
    """
    config = config or WAN[name]
    residual = config["vae"].get("is_residual", False)
    refuse_other_kind(source, "ti2v" if residual else "t2v", name)
    shards = sorted(source.glob("diffusion_pytorch_model*.safetensors")) or sorted(source.glob("model*.safetensors"))
    if not shards:
        raise ValueError(
            f"{source} has no diffusion_pytorch_model*.safetensors or model*.safetensors: expected {name} "
            f"as published; the diffusers-format one needs no conversion: `miga models fetch {name}`"
        )
    dit = {n: t for shard in shards for n, t in read(shard, "the transformer").items()}
    if any(key.startswith("img_emb.") for key in dit):
        raise ValueError(
            f"{shards[0]} is an image-to-video transformer: expected a text-to-video one; get it with "
            f"`miga models fetch {name}`"
        )
    transformer, tensors = wan_transformer(dit, config["dit"])
    write(transformer, tensors, out / "transformer", shards[0])
    del dit, tensors
    vae, text = source / f"Wan2.{2 if residual else 1}_VAE.pth", source / "models_t5_umt5-xxl-enc-bf16.pth"
    write(*wan_vae(read(vae, "the autoencoder"), config["vae"]), out / "vae", vae)
    network, tensors = umt5(read(text, "the UMT5 encoder"), config["umt5"])
    write(network, tensors, out / "text_encoder", text, aliases=["encoder.embed_tokens.weight"])
    tokenizer = source / "google" / "umt5-xxl"
    if not tokenizer.is_dir():
        raise ValueError(f"{tokenizer} is missing: expected the tokenizer of UMT5, which is published with the weights")
    shutil.copytree(tokenizer, out / "tokenizer")
    return dict(
        _class_name=PIPELINES[type(transformer).__name__],
        **(dict(expand_timesteps=True) if residual else {}),
        transformer=["diffusers", type(transformer).__name__],
        vae=["diffusers", "AutoencoderKLWan"],
        text_encoder=["transformers", "UMT5EncoderModel"],
        tokenizer=["transformers", "AutoTokenizer"],
    )


PIPELINES = dict(WanTransformer3DModel="WanPipeline", SkyReelsV2Transformer3DModel="SkyReelsV2DiffusionForcingPipeline")


def refuse_other_kind(source: Path, wanted: str, name: str) -> None:
    """`ValueError` where a folder says that it is another kind of model, or holds two denoisers."""
    about = source / "config.json"
    if any((source / part).is_dir() for part in ("high_noise_model", "low_noise_model")):
        raise ValueError(f"{source} has two denoisers (Wan2.2-A14B): expected {name}; `miga models fetch {name}`")
    try:
        kind = json.loads(about.read_text(encoding="utf-8")).get("model_type", wanted) if about.is_file() else wanted
    except (ValueError, AttributeError):
        raise ValueError(f"{about} is not JSON that says model_type: download {name} again") from None
    if kind != wanted:
        raise ValueError(
            f"{about} says that this is a model of the kind {kind}: {name} is {wanted}; get it with "
            f"`miga models fetch {name}`"
        )


def wan_transformer(tensors: Tensors, config: Mapping[str, Any]) -> tuple[nn.Module, Tensors]:
    """Wan's DiT as a WanTransformer3DModel; as a SkyReelsV2Transformer3DModel where it is told a frame rate.

    `config` has the names of the original's config.json.
    """
    from diffusers import SkyReelsV2Transformer3DModel, WanTransformer3DModel

    told = config.get("inject_sample_info", False)
    network = empty(
        SkyReelsV2Transformer3DModel if told else WanTransformer3DModel,
        patch_size=tuple(config["patch_size"]),
        num_attention_heads=config["num_heads"],
        attention_head_dim=config["dim"] // config["num_heads"],
        in_channels=config["in_dim"],
        out_channels=config["out_dim"],
        text_dim=config["text_dim"],
        freq_dim=config["freq_dim"],
        ffn_dim=config["ffn_dim"],
        num_layers=config["num_layers"],
        cross_attn_norm=True,
        qk_norm="rms_norm_across_heads",
        eps=config["eps"],
        rope_max_seq_len=1024,
        **(dict(inject_sample_info=True) if told else {}),
    )
    rules = (
        (r"^fps_projection\.0", "fps_projection.net.0.proj"),
        (r"^fps_projection\.2", "fps_projection.net.2"),
        (r"^(time|text)_embedding\.0", r"condition_embedder.\1_embedder.linear_1"),
        (r"^(time|text)_embedding\.2", r"condition_embedder.\1_embedder.linear_2"),
        (r"^time_projection\.1", "condition_embedder.time_proj"),
        (r"^head\.head", "proj_out"),
        (r"^head\.modulation", "scale_shift_table"),
        (r"\.modulation$", ".scale_shift_table"),
        (r"\.self_attn\.", ".attn1."),
        (r"\.cross_attn\.", ".attn2."),
        (r"\.([qkv])\.(weight|bias)$", r".to_\1.\2"),
        (r"\.o\.(weight|bias)$", r".to_out.0.\1"),
        (r"\.norm3\.", ".norm2."),
        (r"\.ffn\.0\.", ".ffn.net.0.proj."),
        (r"\.ffn\.2\.", ".ffn.net.2."),
    )
    return network, {rename(name, rules): tensor for name, tensor in tensors.items()}


def wan_vae(tensors: Tensors, config: Mapping[str, Any]) -> tuple[nn.Module, Tensors]:
    """Wan's causal autoencoder as an AutoencoderKLWan; Wan2.2's is residual and folds patches into channels."""
    from diffusers import AutoencoderKLWan

    more = {key: config[key] for key in ("latents_mean", "latents_std") if key in config}
    if residual := config.get("is_residual", False):
        patch = config["patch_size"]
        channels = 3 * patch**2
        more |= dict(is_residual=True, decoder_base_dim=config["dec_dim"], patch_size=patch)
        more |= dict(in_channels=channels, out_channels=channels, scale_factor_spatial=8 * patch)
    network = empty(
        AutoencoderKLWan,
        base_dim=config["dim"],
        z_dim=config["z_dim"],
        dim_mult=config["dim_mult"],
        num_res_blocks=config["num_res_blocks"],
        temperal_downsample=config["temperal_downsample"],
        **more,
    )
    blocks = config["num_res_blocks"]

    def flat(match: re.Match) -> str:
        """Of the original's flat list, a level is its residual blocks, one more than the encoder has, and a sampler."""
        block, entry = divmod(int(match[1]), blocks + 2)
        return f"up_blocks.{block}.{'upsamplers.0' if entry == blocks + 1 else f'resnets.{entry}'}"

    def nested(match: re.Match) -> str:
        """Of the residual one, levels are lists of their own."""
        way, block, entry = match[1], match[2], int(match[3])
        last = blocks + (way == "up")
        return f"{way}_blocks.{block}.{f'{way}sampler' if entry == last else f'resnets.{entry}'}"

    rules = (
        (r"^conv1\.", "quant_conv."),
        (r"^conv2\.", "post_quant_conv."),
        (r"coder\.conv1\.", "coder.conv_in."),
        (r"coder\.head\.0\.", "coder.norm_out."),
        (r"coder\.head\.2\.", "coder.conv_out."),
        (r"\.middle\.1\.", ".mid_block.attentions.0."),
        (r"\.middle\.0\.", ".mid_block.resnets.0."),
        (r"\.middle\.2\.", ".mid_block.resnets.1."),
        (r"\.downsamples\.", ".down_blocks."),
        (r"\.residual\.0\.", ".norm1."),
        (r"\.residual\.2\.", ".conv1."),
        (r"\.residual\.3\.", ".norm2."),
        (r"\.residual\.6\.", ".conv2."),
        (r"\.shortcut\.", ".conv_shortcut."),
    )
    if residual:
        lists, place = re.compile(r"(down|up)samples\.(\d+)\.(?:down|up)samples\.(\d+)"), nested
    else:
        lists, place = re.compile(r"upsamples\.(\d+)"), flat
    return network, {rename(lists.sub(place, name), rules): tensor for name, tensor in tensors.items()}


def umt5(tensors: Tensors, config: Mapping[str, Any]) -> tuple[nn.Module, Tensors]:
    """Wan's UMT5 encoder as a UMT5EncoderModel."""
    from transformers import UMT5Config, UMT5EncoderModel

    network = empty(
        UMT5EncoderModel,
        UMT5Config(
            vocab_size=config["vocab_size"],
            d_model=config["dim"],
            d_kv=config["dim_attn"] // config["num_heads"],
            d_ff=config["dim_ffn"],
            num_layers=config["encoder_layers"],
            num_heads=config["num_heads"],
            relative_attention_num_buckets=config["num_buckets"],
            relative_attention_max_distance=config["max_distance"],
            layer_norm_epsilon=1e-6,
            feed_forward_proj="gated-gelu",
        ),
    )
    attention, feed = "encoder.block.\\1.layer.0.SelfAttention.", "encoder.block.\\1.layer.1."
    rules = (
        (r"^token_embedding\.", "shared."),
        (r"^norm\.", "encoder.final_layer_norm."),
        (r"^blocks\.(\d+)\.attn\.", attention),
        (r"^blocks\.(\d+)\.pos_embedding\.embedding\.", f"{attention}relative_attention_bias."),
        (r"^blocks\.(\d+)\.norm1\.", "encoder.block.\\1.layer.0.layer_norm."),
        (r"^blocks\.(\d+)\.norm2\.", f"{feed}layer_norm."),
        (r"^blocks\.(\d+)\.ffn\.gate\.0\.", f"{feed}DenseReluDense.wi_0."),
        (r"^blocks\.(\d+)\.ffn\.fc1\.", f"{feed}DenseReluDense.wi_1."),
        (r"^blocks\.(\d+)\.ffn\.fc2\.", f"{feed}DenseReluDense.wo."),
    )
    return network, {rename(name, rules): tensor for name, tensor in tensors.items()}
