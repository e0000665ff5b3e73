"""The files of weights of VBench's networks: where the package looks for them, where they come from, what they are.

They lie below $VBENCH_CACHE_DIR (default ~/.cache/vbench). The package reads DINO's weights from torch's own cache,
$TORCH_HOME/hub/checkpoints, whatever it finds in its own; both places count here, and `official.py` links the file.
VBench-Long keeps DINOv2 there too, and DreamSim in ~/.cache: those places count as well.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import httpx
import torch

from eval.benchmark import Need
from eval.files import file_digest, replacing
from eval.vbench import VBENCH


@dataclass(frozen=True)
class File:
    """A file of weights or code: its place below the cache, its address, the dimensions that need it.

    sha256: as far as it is published, which may be its first digits only. also: another path that counts.
    """

    place: str
    url: str
    dimensions: tuple[str, ...]
    sha256: str = ""
    also: Callable[[], Path] | None = None


def _of_torch(name: str) -> Callable[[], Path]:
    """A path in the cache of torch's hub."""
    return lambda: Path(torch.hub.get_dir()) / "checkpoints" / name


def _of_user(name: str) -> Callable[[], Path]:
    return lambda: Path.home() / ".cache" / name


_OPENAI = "https://openaipublic.azureedge.net/clip/models/{}/{}"
_CLIP_B = "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af"
_CLIP_L = "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836"
_DINO_CODE = "https://raw.githubusercontent.com/facebookresearch/dino/7c446df5b9f45747937fb0d72314eb9f7b66930a/"
_IQA = "https://github.com/chaofengc/IQA-PyTorch/releases/download/v0.1-weights/"

DINO = File(
    "dino_model/dino_vitbase16_pretrain.pth",
    "https://dl.fbaipublicfiles.com/dino/dino_vitbase16_pretrain/dino_vitbase16_pretrain.pth",
    ("subject_consistency",),
    also=_of_torch("dino_vitbase16_pretrain.pth"),
)
CLIP = File("clip_model/ViT-B-32.pt", _OPENAI.format(_CLIP_B, "ViT-B-32.pt"), ("background_consistency",), _CLIP_B)
AMT = File("amt_model/amt-s.pth", "https://huggingface.co/lalala125/AMT/resolve/main/amt-s.pth", ("motion_smoothness",))
FILES = (DINO, CLIP, AMT)  # of the four dimensions
CLIP_L = File("clip_model/ViT-L-14.pt", _OPENAI.format(_CLIP_L, "ViT-L-14.pt"), ("aesthetic_quality",), _CLIP_L)
LINEAR = File(
    "aesthetic_model/emb_reader/sa_0_4_vit_l_14_linear.pth",
    "https://github.com/LAION-AI/aesthetic-predictor/raw/main/sa_0_4_vit_l_14_linear.pth",
    ("aesthetic_quality",),
)
MUSIQ = File(
    "pyiqa_model/musiq_spaq_ckpt-358bb6af.pth", f"{_IQA}musiq_spaq_ckpt-358bb6af.pth", ("imaging_quality",), "358bb6af"
)
RAFT = File(
    "raft_model/models/raft-things.pth",
    "https://dl.dropboxusercontent.com/s/4j4z58wuv8o0mfz/models.zip (unpack it in raft_model)",
    ("dynamic_degree",),
)
QUALITY = (CLIP_L, LINEAR, MUSIQ, RAFT)  # of the dimensions that are scored where a suite asks for them
OFFICIAL = (  # what the package needs beyond those of the four dimensions
    *(
        File(f"dino_model/facebookresearch_dino_main/{name}.py", f"{_DINO_CODE}{name}.py", ("subject_consistency",))
        for name in ("hubconf", "vision_transformer", "utils")
    ),
    *QUALITY,
)
_DREAMSIM = (
    "https://github.com/ssundaram21/dreamsim/releases/download/v0.2.0-checkpoints/dreamsim_ensemble_checkpoint.zip "
    "(unpack it in dreamsim_model)"
)
DINOV2 = File(  # this and DREAMSIM: between the clips of VBench-Long
    "dinov2_model/dinov2_vitb14_pretrain.pth",
    "https://dl.fbaipublicfiles.com/dinov2/dinov2_vitb14/dinov2_vitb14_pretrain.pth",
    ("subject_consistency",),
    also=_of_torch("dinov2_vitb14_pretrain.pth"),
)
DREAMSIM = tuple(  # the package has them in ~/.cache; its DINO is that of subject consistency
    File(f"dreamsim_model/{name}", _DREAMSIM, ("background_consistency",), also=_of_user(name))
    for name in (
        "clip_vitb16_pretrain.pth.tar",
        "open_clip_vitb16_pretrain.pth.tar",
        "ensemble_lora/adapter_model.safetensors",
        "ensemble_lora/adapter_config.json",
    )
)
BETWEEN = (DINOV2, *DREAMSIM)


def cache(weights: str | Path | None = None) -> Path:
    """The folder of weights: the given one, or where the vbench package keeps them."""
    return Path(weights or os.environ.get("VBENCH_CACHE_DIR") or Path.home() / ".cache/vbench")


def find(file: File, weights: str | Path | None = None) -> Path | None:
    """Where a file is, None where it is missing or empty."""
    places = [cache(weights) / file.place, *([file.also()] if file.also else [])]
    return next((path for path in places if path.is_file() and path.stat().st_size), None)


def located(weights: str | Path | None = None, files: Iterable[File] = FILES) -> list[Path]:
    """The paths of files; `ValueError` lists everything that is missing with its address."""
    found = {file: find(file, weights) for file in files}
    if lacking := [file for file, path in found.items() if path is None]:
        wanted = "; ".join(f"{cache(weights) / file.place} from {file.url}" for file in lacking)
        raise ValueError(f"weights of VBench's networks are missing: {wanted}")
    return [path for path in found.values() if path is not None]


def of_metrics(metrics: Iterable[str]) -> list[File]:
    """Files that our scorer reads for these metrics: those of the four dimensions, which name its version, and more."""
    wanted = set(metrics)
    return [*FILES, *(file for file in QUALITY if wanted & set(file.dimensions))]


def between(metrics: Iterable[str]) -> list[File]:
    """Files of the networks that compare clips in the fused VBench-Long, for these dimensions."""
    wanted = set(metrics)
    return [file for file in BETWEEN if wanted & set(file.dimensions)]


def needed(dimensions: Iterable[str] = VBENCH) -> list[File]:
    """Files that the package needs for its dimensions."""
    return [file for file in (*FILES, *OFFICIAL) if set(file.dimensions) & set(dimensions)]


def digest(path: Path) -> str:
    """sha256 of a file, computed once in a process while the file stays the same."""
    facts = path.stat()
    return _digest(path, facts.st_size, facts.st_mtime_ns)


@lru_cache
def _digest(path: Path, size: int, changed: int) -> str:
    return file_digest(path)


def inventory(
    weights: str | Path | None = None, files: Iterable[File] = (*FILES, *OFFICIAL, *BETWEEN)
) -> Iterator[tuple[File, Path | None, str]]:
    """Each file, its path or None, and one phrase about it: its sha256 and what is known of it, or its address."""
    for file in files:
        path = find(file, weights)
        if path is None:
            yield file, None, f"{cache(weights) / file.place} from {file.url}"
            continue
        found = digest(path)
        known = "no published sha256" if not file.sha256 else "as published"
        if not found.startswith(file.sha256):
            known = f"NOT the published file ({file.sha256[:12]})"
        yield file, path, f"sha256 {found[:12]}, {known}: {path}"


def needs(files: Iterable[File]) -> Iterator[Need]:
    """The same, as benchmarks say what they need."""
    for file, path, words in inventory(files=files):
        yield Need(Path(file.place).name, path is not None and "NOT" not in words, words)


def _download(file: File, partial: Path, path: Path) -> None:
    """Write the published file to `partial`, which is to stand at `path`."""
    try:
        with httpx.stream("GET", file.url, follow_redirects=True, timeout=60) as answer, partial.open("wb") as out:
            answer.raise_for_status()
            for part in answer.iter_bytes():
                out.write(part)
    except httpx.HTTPError as error:
        raise ValueError(f"{file.url} cannot be fetched ({error}): put the file at {path} by hand") from None
    if not (found := digest(partial)).startswith(file.sha256):
        raise ValueError(f"{file.url}: its sha256 is {found[:12]}, the published one {file.sha256[:12]}")


def fetch(files: Iterable[File], weights: str | Path | None = None, say: Callable[[str], None] = print) -> None:
    """Download what is missing and compare it with the published sha256; a wrong file is not kept.

    `ValueError` where an address cannot be read, with what to copy by hand.
    """
    for file in files:
        if find(file, weights):
            continue
        if " " in file.url:
            say(f"by hand: {cache(weights) / file.place} from {file.url}")
            continue
        path = cache(weights) / file.place
        say(f"{path.name} from {file.url}")
        with replacing(path) as partial:
            _download(file, partial, path)
        say(f"sha256 {digest(path)}")
