"""Videos and random weights, laid out as the vbench package expects them, and a textbook DINO for its hub folder."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

Weights = dict[str, torch.Tensor]

# Stands for facebookresearch/dino: the published architecture written plainly, attention spelled out.
VISION_TRANSFORMER = """
import math
import torch
from torch import nn

class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads, self.qkv, self.proj = heads, nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        b, n, c = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-2, -1) * (c // self.heads) ** -0.5).softmax(dim=-1)
        return self.proj((weights @ v).transpose(1, 2).reshape(b, n, c))

class Mlp(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.fc1, self.act, self.fc2 = nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)

    def forward(self, x):
        return self.fc2(self.act(self.fc1(x)))

class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(width, eps=1e-6), Attention(width, heads)
        self.norm2, self.mlp = nn.LayerNorm(width, eps=1e-6), Mlp(width)

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))

class Patches(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.proj = nn.Conv2d(3, width, 16, 16)

class ViT(nn.Module):
    def __init__(self, width, depth, heads=12):
        super().__init__()
        self.patch_embed = Patches(width)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 197, width))
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, x):
        rows, columns = x.shape[2] // 16, x.shape[3] // 16
        tokens = self.patch_embed.proj(x).flatten(2).transpose(1, 2)
        place = self.pos_embed
        if (rows, columns) != (14, 14):
            grid = place[:, 1:].reshape(1, 14, 14, -1).permute(0, 3, 1, 2)
            scale = ((rows + 0.1) / 14, (columns + 0.1) / 14)
            grid = nn.functional.interpolate(grid, scale_factor=scale, mode="bicubic")
            place = torch.cat([place[:, :1], grid.permute(0, 2, 3, 1).reshape(1, rows * columns, -1)], 1)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), tokens], 1) + place
        for block in self.blocks:
            x = block(x)
        return self.norm(x)[:, 0]
"""
HUBCONF = """
dependencies = ["torch"]
import torch
from vision_transformer import ViT

def dino_vitb16(pretrained=True, **kwargs):
    url = "https://dl.fbaipublicfiles.com/dino/dino_vitbase16_pretrain/dino_vitbase16_pretrain.pth"
    state = torch.hub.load_state_dict_from_url(url, map_location="cpu")
    depth = len({name.split(".")[1] for name in state if name.startswith("blocks.")})
    model = ViT(state["cls_token"].shape[-1], depth)
    model.load_state_dict(state)
    return model
"""


def panning(frames: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    """A smooth random picture that moves to and fro under a little noise."""
    rng = np.random.default_rng(seed)
    picture = gaussian_filter(rng.normal(size=(height + 30, width + 30, 3)), (6, 6, 0))
    picture = 255 * (picture - picture.min()) / np.ptp(picture)
    found = np.empty((frames, height, width, 3), np.uint8)
    for t in range(frames):
        top, left = (30 - abs(30 - speed * t % 60) for speed in (1, 2))
        view = picture[top : top + height, left : left + width]
        found[t] = np.clip(view + rng.normal(0, 2, view.shape), 0, 255)
    return found


def scaled(shapes: dict[str, tuple[int, ...]], seed: int) -> Weights:
    """Random weights of the size that keeps activations alive; norms near one."""
    draw = torch.Generator().manual_seed(seed)
    weights = {}
    for name, shape in shapes.items():
        fan = max(1, torch.Size(shape[1:]).numel())
        values = torch.randn(shape, generator=draw) * (0.5 if len(shape) < 2 else fan**-0.5)
        weights[name] = 1 + 0.2 * values if len(shape) == 1 and "weight" in name else values
    return weights


def dino(width: int = 96, depth: int = 2) -> Weights:
    shapes = {"cls_token": (1, 1, width), "pos_embed": (1, 197, width), "norm.weight": (width,), "norm.bias": (width,)}
    shapes |= {"patch_embed.proj.weight": (width, 3, 16, 16), "patch_embed.proj.bias": (width,)}
    for i in range(depth):
        for name, (out, into) in {
            "attn.qkv": (3, 1),
            "attn.proj": (1, 1),
            "mlp.fc1": (4, 1),
            "mlp.fc2": (1, 4),
        }.items():
            shapes |= {
                f"blocks.{i}.{name}.weight": (out * width, into * width),
                f"blocks.{i}.{name}.bias": (out * width,),
            }
        shapes |= {f"blocks.{i}.norm{n}.{part}": (width,) for n in (1, 2) for part in ("weight", "bias")}
    return scaled(shapes, 1)


def clip(width: int = 128, depth: int = 2, text: int = 64, out: int = 32) -> Weights:
    """OpenAI's names; the text tower is there because its loader wants it."""
    shapes: dict[str, tuple[int, ...]] = {
        "positional_embedding": (77, text), "text_projection": (text, out), "token_embedding.weight": (64, text),
        "ln_final.weight": (text,), "ln_final.bias": (text,), "logit_scale": (), "visual.proj": (width, out),
        "visual.class_embedding": (width,), "visual.positional_embedding": (50, width),
        "visual.conv1.weight": (width, 3, 32, 32),
    }  # fmt: skip
    shapes |= {f"visual.ln_{n}.{part}": (width,) for n in ("pre", "post") for part in ("weight", "bias")}
    for prefix, size, layers in (("transformer", text, 1), ("visual.transformer", width, depth)):
        for i in range(layers):
            block = f"{prefix}.resblocks.{i}"
            shapes |= {f"{block}.attn.in_proj_weight": (3 * size, size), f"{block}.attn.in_proj_bias": (3 * size,)}
            for name, (to, into) in {"attn.out_proj": (1, 1), "mlp.c_fc": (4, 1), "mlp.c_proj": (1, 4)}.items():
                shapes |= {f"{block}.{name}.weight": (to * size, into * size), f"{block}.{name}.bias": (to * size,)}
            shapes |= {f"{block}.ln_{n}.{part}": (size,) for n in (1, 2) for part in ("weight", "bias")}
    return scaled(shapes, 2)


class Archive(torch.nn.Module):
    """Weights under their dotted names as a TorchScript archive, the only format that OpenAI's loader opens."""

    def __init__(self, weights: dict[str, torch.Tensor]) -> None:
        super().__init__()
        for name, tensor in weights.items():
            module = self
            *path, leaf = name.split(".")
            for part in path:
                if not hasattr(module, part):
                    setattr(module, part, torch.nn.Module())
                module = getattr(module, part)
            module.register_parameter(leaf, torch.nn.Parameter(tensor))
        for name, value in {"input_resolution": 224, "context_length": 77, "vocab_size": 64}.items():
            self.register_buffer(name, torch.tensor(value))

    def forward(self, x):
        return x


# Run by the package's own python: random weights of the optical flow and of the image quality network.
OTHERS = """
import sys
import torch
if torch.version.cuda is None:
    for operator in ("torchvision::nms", "torchvision::qnms"):
        torch.library.define(operator, "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
from easydict import EasyDict
from pyiqa.archs.musiq_arch import MUSIQ
from vbench.third_party.RAFT.core.raft import RAFT
torch.manual_seed(0)
flow = RAFT(EasyDict(small=False, mixed_precision=False, alternate_corr=False)).state_dict()
torch.save({f"module.{name}": tensor for name, tensor in flow.items()}, sys.argv[1])
torch.save(MUSIQ(pretrained=False).state_dict(), sys.argv[2])
"""


def lay_out_others(folder: Path, python: str) -> None:
    """What dynamic_degree, imaging_quality and aesthetic_quality need, beside what `lay_out` wrote."""
    linear, flow, quality = (
        folder / place
        for place in (
            "aesthetic_model/emb_reader/sa_0_4_vit_l_14_linear.pth",
            "raft_model/models/raft-things.pth",
            "pyiqa_model/musiq_spaq_ckpt-358bb6af.pth",
        )
    )
    for path in (linear, flow, quality):
        path.parent.mkdir(parents=True)
    subprocess.run([python, "-c", OTHERS, str(flow), str(quality)], check=True, capture_output=True)
    torch.save(scaled({"weight": (1, 768), "bias": (1,)}, 3), linear)
    torch.jit.script(Archive(clip(out=768))).save(str(folder / "clip_model/ViT-L-14.pt"))


def lay_out(folder: Path, amt: Weights, dino: Weights, clip: Weights) -> Path:
    """The package's cache with DINO's hub folder, from the state dicts of the three networks."""
    hub = folder / "dino_model/facebookresearch_dino_main"
    for place in (hub, folder / "clip_model", folder / "amt_model"):
        place.mkdir(parents=True)
    code = {"hubconf": HUBCONF, "vision_transformer": VISION_TRANSFORMER, "utils": "# the stand-in needs none"}
    for name, text in code.items():
        (hub / f"{name}.py").write_text(text)
    torch.save(dino, folder / "dino_model/dino_vitbase16_pretrain.pth")
    torch.jit.script(Archive(clip)).save(str(folder / "clip_model/ViT-B-32.pt"))
    torch.save({"state_dict": amt, "epoch": 1}, folder / "amt_model/amt-s.pth")
    return folder
