"""Modular Diffusers: blocks of ours in a pipeline of diffusers' give the frames of `miga.generate`, chunk by chunk."""

import json
import re
from itertools import islice

import numpy as np
import pytest
import torch
from diffusers import UniPCMultistepScheduler

from miga import generate, models
from miga.models.blocks import LongVideoBlocks
from tests.miga.tiny_models import tiny_wan
from tests.test_docs import blocks

PROMPT = "a red circle moves right"
SIZES = dict(height=32, width=32, window=3, num_inference_steps=8, max_sequence_length=10)


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """A tiny Wan as a repository of diffusers'."""
    folder = tiny_wan(tmp_path_factory.mktemp("models") / "tiny", num_levels=8)
    UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, num_train_timesteps=1000, flow_shift=5.0
    ).save_pretrained(folder / "scheduler")
    index = json.loads((folder / "model_index.json").read_text())
    index |= dict(_class_name="WanPipeline", _diffusers_version="0.42.1")
    index |= dict(scheduler=["diffusers", "UniPCMultistepScheduler"], text_encoder=["transformers", "UMT5EncoderModel"])
    index |= dict(tokenizer=["transformers", "PreTrainedTokenizerFast"])
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


@pytest.fixture(scope="module")
def pipe(directory):
    pipe = LongVideoBlocks().init_pipeline(str(directory))
    pipe.load_components(dtype=torch.float32)
    pipe.update_components(guider=pipe.guider.new(guidance_scale=3.0))
    return pipe


@pytest.mark.parametrize("method", ["miga", "fifo_diffusion", "direct"])
def test_the_frames_are_those_of_generate(pipe, directory, method):
    chunks = pipe(prompt=PROMPT, num_frames=9, method=method, output="chunks", **SIZES)
    got = np.concatenate(list(chunks))
    wanted = np.concatenate(list(generate(models.load(directory), PROMPT, method=method, frames=9)))
    assert got.shape == (9, 32, 32, 3) and got.dtype == np.float32
    np.testing.assert_allclose(got * 255, wanted, atol=1.01)  # whole numbers are cut
    assert wanted.std() > 20


def test_without_a_length_there_is_no_end_and_chunks_come_as_they_are_made(pipe):
    chunks = pipe(prompt=PROMPT, method="fifo_diffusion", output_type="pil", output="chunks", **SIZES)
    sizes = [[image.size for image in chunk] for chunk in islice(chunks, 3)]
    assert sizes == [[(32, 32)], *[[(32, 32)] * 4] * 2]


def test_the_generator_seeds_the_video(pipe):
    def first(seed):
        generator = torch.Generator().manual_seed(seed)
        asked = dict(method="fifo_diffusion", num_frames=1, generator=generator)
        return next(pipe(prompt=PROMPT, output="chunks", **asked, **SIZES))

    assert np.array_equal(first(3), first(3)) and not np.array_equal(first(3), first(4))


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (dict(method="mige"), "did you mean 'miga'"),
        (dict(params={"detla": 1}), "did you mean 'delta'"),
        (dict(method="direct"), "direct makes videos of a given length only"),
        (dict(method="looped", num_frames=9), "looped rearranges a whole clip"),
        (dict(prompt=[PROMPT, "a blue square"], num_frames=9), "miga takes one prompt, not 2"),
        (dict(height=30), "height and width must be multiples of"),
    ],
)
def test_what_cannot_be_is_one_sentence(pipe, asked, sentence):
    with pytest.raises(ValueError, match=sentence):
        pipe(output="chunks", **{"prompt": PROMPT, **SIZES, **asked})


def test_the_examples_of_the_page_run(directory, capsys):
    """On the tiny Wan, on a CPU, a few frames."""
    tiny = {"Wan-AI/Wan2.1-T2V-1.3B-Diffusers": str(directory), '"cuda"': '"cpu"', "torch.bfloat16": "torch.float32"}
    names: dict = {"SIZES": SIZES}
    for block in blocks("diffusers.md", "python"):
        for theirs, ours in (tiny | {"num_frames=161": "num_frames=9, **SIZES"}).items():
            block = block.replace(theirs, ours)
        exec(compile(block, "diffusers.md", "exec"), names)
    shapes = re.findall(r"\((\d+), 32, 32, 3\)", capsys.readouterr().out)
    assert sum(map(int, shapes)) == 9
    assert list(names["blocks"].sub_blocks) == ["text_encoder", "long_video"]
    assert "prompt_embeds" not in {given.name for given in names["blocks"].inputs}  # the encoder gives them
