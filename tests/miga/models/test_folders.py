"""What a folder of weights is like: by what it says, or refused by one sentence. Only its small files are read."""

import json
import re

import pytest
from diffusers import SkyReelsV2Transformer3DModel

from miga.models import folders, weights

WAN = dict(_class_name="WanPipeline", transformer=["diffusers", "WanTransformer3DModel"])
SKYREELS = dict(_class_name="SkyReelsV2DiffusionForcingPipeline", transformer=["diffusers", "X"])
UNET = dict(unet=["diffusers", "UNet3DConditionModel"])
TI2V = dict(in_channels=48, out_channels=48)


@pytest.fixture
def folder(tmp_path):
    def make(index, config=None, parts=()):
        directory = tmp_path / "model"
        for part in ("transformer" if "transformer" in index else "unet", *parts):
            (directory / part).mkdir(parents=True)
            (directory / part / "diffusion_pytorch_model.safetensors").touch()
        part = next(directory.iterdir())
        (part / "config.json").write_text(json.dumps({} if config is None else config))
        (directory / "model_index.json").write_text(json.dumps(index))
        return directory

    return make


@pytest.mark.parametrize("index, config, name", [
    (WAN, {}, "wan2.1-1.3b"),
    (WAN, dict(num_attention_heads=40), "wan2.1-14b"),
    (WAN | dict(transformer_2=[None, None], boundary_ratio=None), {}, "wan2.1-1.3b"),
    (WAN | dict(expand_timesteps=True), TI2V, "wan2.2-ti2v-5b"),
    (WAN, TI2V, "wan2.2-ti2v-5b"),
    (WAN | dict(_class_name="WanImageToVideoPipeline", expand_timesteps=True), TI2V, "wan2.2-ti2v-5b"),
    (SKYREELS, dict(_class_name="SkyReelsV2Transformer3DModel"), "skyreels-v2-df-1.3b"),
    (UNET | dict(_class_name="VideoCrafter2"), {}, "videocrafter2"),
    (UNET | dict(_class_name="TextToVideoSDPipeline", _miga=dict(like="sprites-unet")), {}, "sprites-unet"),
])  # fmt: skip
def test_what_a_folder_is_like(folder, index, config, name):
    assert folders.spec_of(folder(index, config)).name == name


@pytest.mark.parametrize("index, config, parts, sentence", [
    (WAN | dict(boundary_ratio=0.875), {}, (), "two denoisers"),
    (WAN | dict(transformer_2=["diffusers", "WanTransformer3DModel"]), {}, (), "two denoisers"),
    (WAN, {}, ("transformer_2",), "two denoisers"),
    (WAN | dict(image_encoder=["transformers", "CLIPVisionModel"]), {}, (), "not be used .image_encoder"),
    (WAN, dict(in_channels=36, out_channels=16), (), "image-to-video transformer .36 channels in, 16 out"),
    (WAN, dict(image_dim=1280, in_channels=16, out_channels=16), (), "image-to-video"),
    (WAN | dict(_class_name="WanImageToVideoPipeline"), {}, (), "no base model here runs .WanImageToVideoPipeline"),
    (WAN | dict(_class_name="WanVACEPipeline"), {}, (), "no base model here runs"),
    (WAN, dict(_class_name="WanVACETransformer3DModel"), (), "no base model here runs"),
    (WAN, dict(_class_name="SkyReelsV2Transformer3DModel"), (), "no base model here runs"),
    (SKYREELS | dict(_class_name="SkyReelsV2Pipeline"), {}, (), "no base model here runs .SkyReelsV2Pipeline"),
    (UNET | dict(_class_name="StableDiffusionPipeline"), {}, (), "no base model here runs"),
    (UNET | dict(motion_adapter=["diffusers", "MotionAdapter"]), {}, (), "not be used .motion_adapter"),
    (WAN | UNET, {}, (), "names transformer and a unet"),
    (WAN | dict(_miga=dict(like="wan3")), {}, (), "unknown base model .* 'wan3'"),
    (WAN | dict(_miga="wan"), {}, (), "must be a JSON object"),
    (WAN | dict(_miga=dict(options=[1])), {}, (), "must be a JSON object"),
    (WAN, [], (), "config.json is no JSON object"),
])  # fmt: skip
def test_what_is_half_known_is_refused(folder, index, config, parts, sentence):
    directory = folder(index, config, parts)
    with pytest.raises(ValueError, match=sentence) as error:
        folders.spec_of(directory)
    assert str(directory) in str(error.value) and "\n" not in str(error.value)


def test_another_class_of_network_is_not_run_whatever_the_folder_says(folder):
    directory = folder(WAN | dict(_miga=dict(like="skyreels-v2-df-1.3b")), dict(_class_name="WanTransformer3DModel"))
    with pytest.raises(ValueError, match=r"holds a WanTransformer3DModel: .* has a SkyReelsV2Transformer3DModel"):
        weights.load_part(SkyReelsV2Transformer3DModel, directory, "transformer", None)


@pytest.mark.parametrize("file, what", [
    ("model.ckpt", "VideoCrafter's original checkpoint"),
    ("Wan2.2_VAE.pth", "Wan's original files .of the kind ti2v"),
    ("model-00001-of-00002.safetensors", "a network in its authors' layout"),
])  # fmt: skip
def test_files_in_their_authors_layout_are_named(tmp_path, file, what):
    (tmp_path / file).touch()
    (tmp_path / "config.json").write_text(json.dumps(dict(model_type="ti2v")))
    assert re.match(what, folders.original_layout(tmp_path))
