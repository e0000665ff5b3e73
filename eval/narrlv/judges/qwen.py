"""Qwen2.5-VL through transformers, in this process."""

from __future__ import annotations

import io
from dataclasses import asdict

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from eval.narrlv.judges.contract import QWEN, RELEASED, SYSTEM, Frames, Sampling, jpeg

CLIP_MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073])
CLIP_STD = torch.tensor([0.26862954, 0.26130258, 0.27577711])
MIN_PIXELS, MAX_PIXELS = 4 * 28 * 28, 16384 * 28 * 28  # of one picture; a list of frames has no budget as a whole


class Qwen:
    """Qwen2.5-VL through transformers, in this process: the released protocol, ten frames as a video at ten per second.

    Frames are prepared here and not by transformers' video processor, which needs torchvision.

    path: a folder or a name on the hub; 72B in bf16 takes 145 GB over all devices.
    """

    concurrency = 1
    gpu = True  # where there is one

    def __init__(
        self,
        path: str = QWEN,
        revision: str | None = None,
        dtype: str = "bfloat16",
        device_map: str = "auto",
        sampling: Sampling = RELEASED,
        fps: float = 10.0,
    ) -> None:
        from transformers import AutoTokenizer, Qwen2_5_VLForConditionalGeneration

        self.tokenizer = AutoTokenizer.from_pretrained(path, revision=revision)
        self.model = Qwen2_5_VLForConditionalGeneration.from_pretrained(
            path, revision=revision, dtype=dtype, device_map=device_map
        ).eval()
        self.sampling, self.fps = sampling, fps
        self.protocol = {
            "judge": f"{path.rstrip('/').rsplit('/', 1)[-1]}-video",
            "model": path,
            "revision": revision or getattr(self.model.config, "_commit_hash", None),
            "interface": "transformers",
            "dtype": dtype,
            "media": f"text first, then the frames, each through a JPEG of quality 95, as a video of {fps:g} fps",
            **asdict(sampling),
        }

    @torch.inference_mode()
    def ask(self, frames: Frames, question: str, votes: int, seed: int) -> list[str]:
        inputs = self._inputs(frames, f"{question} {self.sampling.instruction}".strip())
        torch.manual_seed(seed)
        rule = self.sampling
        out = self.model.generate(
            **{name: value.to(self.model.device) for name, value in inputs.items()},
            do_sample=bool(rule.temperature),
            temperature=rule.temperature or None,
            top_p=rule.top_p if rule.temperature else None,
            top_k=0,  # off, whatever the weights' own defaults say
            repetition_penalty=rule.repetition_penalty or 1.0,
            max_new_tokens=rule.max_tokens,
            num_return_sequences=votes if rule.temperature else 1,
        )
        texts = self.tokenizer.batch_decode(out[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        return texts if rule.temperature else texts * votes

    def _inputs(self, frames: Frames, text: str) -> dict[str, Tensor]:
        vision = self.model.config.vision_config
        start = f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n{text.replace('<|', '< |')}"
        end = "<|im_end|>\n<|im_start|>assistant\n"
        if len(frames) == 0:
            ids = self._ids(start + end)
            return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        patches, grid = video_patches(frames, vision.patch_size, vision.spatial_merge_size, vision.temporal_patch_size)
        count = int(grid.prod()) // vision.spatial_merge_size**2
        ids = self._ids(f"{start}<|vision_start|>{'<|video_pad|>' * count}<|vision_end|>{end}")
        return {
            "input_ids": ids,
            "attention_mask": torch.ones_like(ids),
            "mm_token_type_ids": 2 * (ids == self.model.config.video_token_id).int(),
            "pixel_values_videos": patches.to(self.model.dtype),
            "video_grid_thw": grid[None],
            "second_per_grid_ts": torch.tensor([vision.temporal_patch_size / self.fps]),
        }

    def _ids(self, text: str) -> Tensor:
        return self.tokenizer(text, return_tensors="pt", add_special_tokens=False)["input_ids"]


def video_patches(
    frames: Frames, patch: int = 14, merge: int = 2, pair: int = 2
) -> tuple[Float[Tensor, "patches values"], Tensor]:
    """Frames as Qwen2.5-VL reads them: resized to whole blocks, normalised, cut into patches of `pair` frames.

    -> patches (t*h*w, 3 * pair * patch**2) float32, ordered by time, then by blocks of merge x merge patches, and the
    grid (t, h, w). A last frame without a partner is repeated.
    """
    block = patch * merge
    height, width = _whole_blocks(*frames.shape[1:3], block)
    images = [Image.open(io.BytesIO(jpeg(frame))).resize((width, height), Image.Resampling.BICUBIC) for frame in frames]
    images += images[-1:] * (-len(images) % pair)
    pixels = torch.from_numpy(np.stack([np.asarray(image) for image in images])).float() / 255
    pixels = ((pixels - CLIP_MEAN) / CLIP_STD).movedim(-1, 1)
    t, h, w = len(images) // pair, height // patch, width // patch
    cut = pixels.reshape(t, pair, 3, h // merge, merge, patch, w // merge, merge, patch)
    cut = cut.permute(0, 3, 6, 4, 7, 2, 1, 5, 8)
    return cut.reshape(t * h * w, 3 * pair * patch**2), torch.tensor([t, h, w])


def _whole_blocks(height: int, width: int, block: int) -> tuple[int, int]:
    """The size in whole blocks nearest to the picture's, scaled into the limits of the model."""
    if max(height, width) > 200 * min(height, width):
        raise ValueError(f"frames of {width}x{height} are too narrow for Qwen2.5-VL")
    size = [max(block, round(side / block) * block) for side in (height, width)]
    if size[0] * size[1] > MAX_PIXELS:
        scale = (height * width / MAX_PIXELS) ** 0.5
        size = [max(block, int(side / scale / block) * block) for side in (height, width)]
    elif size[0] * size[1] < MIN_PIXELS:
        scale = (MIN_PIXELS / (height * width)) ** 0.5
        size = [-int(-side * scale // block) * block for side in (height, width)]
    return size[0], size[1]
