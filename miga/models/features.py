"""Image features by which methods judge frames: the networks that the suite's subject consistency looks through."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from miga.models import weights

Features = Callable[[UInt8[Tensor, "n height width 3"]], Float[Tensor, "n d"]]
BATCH = 16  # frames at once
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's


def dino(device: torch.device) -> Features:
    """DINO ViT-B/16 (arXiv 2104.14294): the class token of frames squeezed to 224x224."""
    from transformers import ViTModel

    directory = weights.home() / "dino-vitb16"
    if not (directory / "config.json").is_file():
        raise ValueError(
            f"DINO ViT-B/16 is not in {directory}: "
            f"get it with `hf download facebook/dino-vitb16 --local-dir {directory}`"
        )
    # the original's layer norms; the converted configuration has another epsilon
    network = ViTModel.from_pretrained(directory, add_pooling_layer=False, layer_norm_eps=1e-6, local_files_only=True)
    network.eval().to(device)
    mean, std = (torch.tensor(values, device=device).reshape(3, 1, 1) for values in (MEAN, STD))

    @torch.inference_mode()
    def features(frames):
        rows = []
        for part in frames.split(BATCH):
            images = part.to(device).movedim(-1, 1).float() / 255
            images = F.interpolate(images, (network.config.image_size,) * 2, mode="bilinear", align_corners=False)
            rows.append(network((images - mean) / std).last_hidden_state[:, 0])
        return torch.cat(rows)

    return features
