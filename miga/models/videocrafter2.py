"""VideoCrafter2 (arXiv:2401.09047) and its relative sprites-unet: a 3-D UNet on image latents, epsilon prediction.

The original networks map one to one onto diffusers' and transformers' classes. What those lack is here: one noise level
per frame, the frame rate as a condition, and open_clip's padding of prompts.
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
from torch import Tensor, nn

from miga.engine.base_model import Decoder, Tokens
from miga.engine.solvers import DDIM
from miga.models.pretrained import Pretrained

FPS_EMBEDDING = Path("fps_embedding", "diffusion_pytorch_model.safetensors")
DECODE_BATCH = 4  # frames decoded at once: more costs memory and gains nothing on a GPU that is busy with one


class FrameTimesteps:
    """Lets a UNet3DConditionModel be called with timesteps (B, F), one per frame; attach once to an instance.

    The UNet expands one timestep per sample to its frames; here its blocks get embeddings of the frames' own timesteps
    in place of those. Texts, which the UNet repeats for every frame, are attended once per sample: their keys and
    values are the same for all its frames.
    """

    def __init__(self, unet: UNet3DConditionModel) -> None:
        self.embedding: Tensor | None = None
        self.frames = 1
        unet.register_forward_pre_hook(self.begin, with_kwargs=True)
        unet.register_forward_hook(self.end, always_call=True)
        for block in (*unet.down_blocks, unet.mid_block, *unet.up_blocks):
            block.register_forward_pre_hook(self.replace_embedding, with_kwargs=True)
        for attention in text_attentions(unet):
            attention.register_forward_pre_hook(self.join_frames, with_kwargs=True)
            attention.register_forward_hook(self.split_frames)

    def begin(self, unet, args, kwargs):
        sample = kwargs["sample"] if "sample" in kwargs else args[0]
        timestep = kwargs["timestep"] if "timestep" in kwargs else args[1]
        self.frames = sample.shape[2]
        if not torch.is_tensor(timestep) or timestep.ndim != 2:
            return None
        self.embedding = unet.time_embedding(unet.time_proj(timestep.flatten()).to(unet.dtype))
        if "timestep" in kwargs:
            return args, {**kwargs, "timestep": timestep[:, 0]}
        return (args[0], timestep[:, 0], *args[2:]), kwargs

    def replace_embedding(self, block, args, kwargs):
        if self.embedding is None:
            return None
        if "temb" in kwargs:
            return args, {**kwargs, "temb": self.embedding}
        return (args[0], self.embedding, *args[2:]), kwargs

    def join_frames(self, attention, args, kwargs):
        context = kwargs["encoder_hidden_states"][:: self.frames]
        return (args[0].unflatten(0, (-1, self.frames)).flatten(1, 2),), {**kwargs, "encoder_hidden_states": context}

    def split_frames(self, attention, args, output):
        return output.unflatten(1, (self.frames, -1)).flatten(0, 1)

    def end(self, unet, args, output):
        self.embedding = None


def text_attentions(unet: UNet3DConditionModel) -> list[nn.Module]:
    """The attentions from frames to the prompt."""
    return [m for name, m in unet.named_modules() if name.endswith("attn2") and ".attentions." in name]


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
