"""VideoCrafter2 (arXiv:2401.09047) and its relative sprites-unet: a 3-D UNet on image latents, epsilon prediction.

The original networks map one to one onto diffusers' and transformers' classes. What those lack is here: the frame rate
as a condition and open_clip's padding of prompts; and, in `miga.models.unet_networks`, one noise level per frame.
"""

from __future__ import annotations

import html
from pathlib import Path

import ftfy
import torch
from diffusers import AutoencoderKL, UNet3DConditionModel
from diffusers.models.embeddings import TimestepEmbedding
from jaxtyping import Float, Int
from safetensors.torch import load_file
from torch import Tensor

from miga.engine.base_model import Decoder, Tokens
from miga.engine.solvers import DDIM
from miga.models.pretrained import Pretrained
from miga.models.texts import BeforeTexts
from miga.models.unet_networks import FrameTimesteps, SinglePrecision, layers_before_texts, text_attentions

FPS_EMBEDDING = Path("fps_embedding", "diffusion_pytorch_model.safetensors")
DECODE_BATCH = 4  # frames decoded at once: more costs memory and gains nothing on a GPU that is busy with one


def fps_vector(unet: UNet3DConditionModel, tensors: dict[str, Tensor], fps: int) -> Float[Tensor, " channels"]:
    """What a frame rate adds to the time embedding; `tensors` are the weights of the MLP that embeds it."""
    channels, hidden = unet.time_embedding.linear_1.in_features, unet.time_embedding.linear_1.out_features
    embedding = TimestepEmbedding(channels, hidden, "silu").to(torch.float64)
    embedding.load_state_dict(tensors)
    with torch.no_grad():
        return embedding(unet.time_proj(torch.tensor([fps])).double())[0]


def clean(prompt: str) -> str:
    """open_clip's cleaning of a prompt: repaired text, HTML entities, white space, lower case."""
    return " ".join(html.unescape(html.unescape(ftfy.fix_text(prompt))).split()).lower()


def token_ids(tokenizer, prompts: list[str]) -> Int[Tensor, "prompts tokens"]:
    """CLIP ids as open_clip makes them: short prompts are padded with id 0, long ones cut. Pads are attended."""
    encoded = tokenizer(
        [clean(prompt) for prompt in prompts],
        padding="max_length",
        max_length=tokenizer.model_max_length,
        truncation=True,
        return_tensors="pt",
    )
    return encoded.input_ids.masked_fill(encoded.attention_mask == 0, 0)


class VideoCrafter2(Pretrained):
    """`text_encoder` is OpenCLIP's tower up to its last block but one; the VAE works frame by frame."""

    denoiser_part = "unet"

    def __init__(self, directory, name, options, device, precision) -> None:
        super().__init__(directory, name, options, device, precision)
        scale = 2 ** (len(self.vae.config.block_out_channels) - 1)
        self.latent_shape = (self.denoiser.config.in_channels, options.height // scale, options.width // scale)
        self.solver = DDIM(
            options.num_levels, options.eta, options.grid, rescale=options.rescale, final_alpha=options.final_alpha
        )

    @property
    def multiple(self) -> int:
        halvings = len(self.vae.config.block_out_channels) + self.denoiser.num_upsamplers - 1
        return 2**halvings

    def load_denoiser(self):
        unet = self.part(UNet3DConditionModel, "unet", self.precision)
        file, fps = self.directory / FPS_EMBEDDING, self.run_options.fps_condition
        if file.is_file() != (fps is not None):
            expected = "fps_condition is set but it is missing" if fps else "it is there but fps_condition is not set"
            raise ValueError(f"{file}: {expected}")
        if fps is not None:
            bias = unet.time_embedding.linear_2.bias
            bias.data = (bias.double() + fps_vector(unet, load_file(file), fps)).to(bias.dtype)
        FrameTimesteps(unet)
        self.before_texts = BeforeTexts(unet, layers_before_texts(unet))
        if self.device.type == "cpu":
            unet.set_attn_processor(SinglePrecision())
        return unet

    def load_vae(self):
        return self.part(AutoencoderKL, "vae", self.dtype)

    def embed(self, prompts):
        from transformers import CLIPTokenizer

        return self.embed_ids(token_ids(CLIPTokenizer.from_pretrained(self.directory, subfolder="tokenizer"), prompts))

    def count_tokens(self, prompts):
        from transformers import CLIPTokenizer

        tokenizer = CLIPTokenizer.from_pretrained(self.directory, subfolder="tokenizer")
        had = [len(ids) for ids in tokenizer(prompts, verbose=False).input_ids]
        return [Tokens(count, min(count, tokenizer.model_max_length)) for count in had]

    def embed_ids(self, ids: Int[Tensor, "prompts tokens"]) -> list[Float[Tensor, "tokens dim"]]:
        """The text tower on token ids; all positions are attended, pads too."""
        from transformers import CLIPTextModel

        tower = self.part(CLIPTextModel, "text_encoder", self.dtype).to(self.device)
        return [row for rows in ids.split(32) for row in tower(rows.to(self.device)).last_hidden_state]

    def text_modules(self):
        return [project for attention in text_attentions(self.denoiser) for project in (attention.to_k, attention.to_v)]

    def forward(self, latents, timesteps, context):
        prompts = torch.stack([one.to(self.device, self.precision) for one in context])
        sample = latents.to(self.device, self.precision).transpose(1, 2)
        times = self.before_texts.times = len(context) // len(latents)
        sample, timesteps = torch.cat([sample] * times), torch.cat([timesteps] * times)
        with self.texts.of(context):
            output = self.denoiser(sample, timesteps, encoder_hidden_states=prompts, return_dict=False)[0]
        return output.transpose(1, 2).to(self.dtype)

    def decoder(self):
        return FrameDecoder(self)

    def stills(self, latents):
        return self.decoder().push(latents)

    @torch.inference_mode()
    def encode_frames(self, frames):
        with self.autoencoder() as vae:
            encoded = [vae.encode(to_images(part, self)).latent_dist.mean for part in frames.split(DECODE_BATCH)]
            return torch.cat(encoded) * vae.config.scaling_factor

    def latent_frames(self, frames):
        return frames

    def video_frames(self, latents):
        return latents


class FrameDecoder(Decoder):
    """Every latent is a frame of its own: nothing to remember."""

    def __init__(self, model: VideoCrafter2) -> None:
        self.model, self.size = model, model.size

    def decode(self, latents):
        with self.model.autoencoder() as vae:
            latents = latents.to(self.model.device, self.model.dtype) / vae.config.scaling_factor
            return torch.cat([vae.decode(part).sample for part in latents.split(DECODE_BATCH)])


def to_images(frames: Tensor, model: Pretrained) -> Float[Tensor, "n 3 height width"]:
    """uint8 frames (n, height, width, 3) as images in -1..1 on the model's device."""
    return frames.to(model.device).movedim(-1, 1).to(model.dtype) / 127.5 - 1
