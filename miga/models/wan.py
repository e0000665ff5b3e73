"""Wan (arXiv:2503.20314) and SkyReels-V2-DF (arXiv:2504.13074): a transformer on causal video latents, flow prediction.

The original networks map one to one onto diffusers' and transformers' classes. What those lack is here: text padded
with zeros and a decoder that keeps its feature cache between calls; and, in `miga.models.wan_networks`, one noise level
per latent frame.
"""

from __future__ import annotations

import html
import inspect

import ftfy
import torch
from accelerate import init_empty_weights
from diffusers import AutoencoderKLWan, SkyReelsV2Transformer3DModel, WanTransformer3DModel
from diffusers.models.autoencoders.autoencoder_kl_wan import unpatchify
from jaxtyping import Float, Int
from torch import Tensor, nn

from miga.engine.base_model import Decoder, Tokens
from miga.engine.solvers import FlowUniPC
from miga.models.pretrained import Pretrained
from miga.models.texts import BeforeTexts
from miga.models.videocrafter2 import to_images
from miga.models.wan_networks import FrameTimesteps, layers_before_texts

STRIDE = 4  # video frames of a latent frame; the first latent frame decodes to one


def clean(prompt: str) -> str:
    """Wan's cleaning of a prompt: repaired text, HTML entities, white space."""
    return " ".join(html.unescape(html.unescape(ftfy.fix_text(prompt))).split())


class Wan(Pretrained):
    """Wan2.1 and Wan2.2-TI2V, whose autoencoder also folds 2x2 pixels into channels (its config says so).

    `window` and all counts of latents are latent frames: l of them decode to 4 (l - 1) + 1 video frames.
    """

    denoiser_part = "transformer"

    def __init__(self, directory, name, options, device, precision) -> None:
        super().__init__(directory, name, options, device, precision)
        scale = self.vae.spatial_compression_ratio
        self.latent_shape = (self.denoiser.config.in_channels, options.height // scale, options.width // scale)
        self.solver = FlowUniPC(options.num_levels, options.shift)

    @property
    def multiple(self) -> int:
        return self.vae.spatial_compression_ratio * self.denoiser.config.patch_size[-1]

    def load_denoiser(self):
        transformer = self.load_transformer()
        self.before_texts = self.prepare(transformer)
        return transformer

    def prepare(self, transformer: WanTransformer3DModel) -> BeforeTexts:
        """Teach a transformer, once, what it lacks."""
        options = self.run_options
        FrameTimesteps(transformer, getattr(options, "head", "frame"))
        # compiled blocks are alike only where no layer of one is called with less than the batch
        return BeforeTexts(transformer, () if options.compile else layers_before_texts(transformer))

    def load_transformer(self) -> WanTransformer3DModel:
        return self.part(WanTransformer3DModel, "transformer", self.precision)

    def load_vae(self):
        return self.part(AutoencoderKLWan, "vae", self.dtype)

    def embed(self, prompts):
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(self.directory, subfolder="tokenizer", local_files_only=True)
        encoded = tokenizer(
            [clean(prompt) for prompt in prompts],
            padding="max_length",
            max_length=self.run_options.text_tokens,
            truncation=True,
            return_attention_mask=True,
            return_tensors="pt",
        )
        return self.embed_ids(encoded.input_ids, encoded.attention_mask)

    def count_tokens(self, prompts):
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(self.directory, subfolder="tokenizer", local_files_only=True)
        had = [len(ids) for ids in tokenizer([*map(clean, prompts)], verbose=False).input_ids]
        return [Tokens(count, min(count, self.run_options.text_tokens)) for count in had]

    def embed_ids(
        self, ids: Int[Tensor, "prompts tokens"], mask: Int[Tensor, "prompts tokens"]
    ) -> list[Float[Tensor, "tokens dim"]]:
        """The text tower on token ids; each row is cut to the tokens that its mask has."""
        from transformers import UMT5EncoderModel

        tower = self.part(UMT5EncoderModel, "text_encoder", self.precision).to(self.device)
        rows = []
        for part, kept in zip(ids.split(8), mask.split(8), strict=True):
            output = tower(part.to(self.device), kept.to(self.device)).last_hidden_state
            rows += [row[:length] for row, length in zip(output, kept.sum(1).tolist(), strict=True)]
        return rows

    def text_modules(self):
        attentions = [block.attn2 for block in self.denoiser.blocks]
        projections = [project for attention in attentions for project in (attention.to_k, attention.to_v)]
        return [self.denoiser.condition_embedder.text_embedder, *projections]

    def compiled_parts(self):
        return self.denoiser.blocks

    def forward(self, latents, timesteps, context):
        prompts = torch.stack([self.pad(one) for one in context])
        sample = latents.to(self.device, self.precision).transpose(1, 2)
        if bool((timesteps == timesteps[:, :1]).all()):
            timesteps = timesteps[:, 0]  # the same numbers from a time embedding per window instead of one per token
        times = self.before_texts.times = len(context) // len(latents)
        sample, timesteps = torch.cat([sample] * times), torch.cat([timesteps] * times)
        with self.texts.of(context):
            output = self.denoiser(sample, timesteps, prompts, return_dict=False)[0]
        return output.transpose(1, 2).to(self.dtype)

    def pad(self, embedding: Float[Tensor, "tokens dim"]) -> Float[Tensor, "text_tokens dim"]:
        """Zeros up to the length that the transformer was trained with: they are attended, there is no mask."""
        missing = self.run_options.text_tokens - len(embedding)
        return nn.functional.pad(embedding.to(self.device, self.precision), (0, 0, 0, missing))

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the autoencoder's latents, per channel."""
        mean, std = (
            torch.tensor(values, device=self.device, dtype=self.dtype).reshape(1, -1, 1, 1, 1)
            for values in (self.vae.config.latents_mean, self.vae.config.latents_std)
        )
        return mean, std

    def decoder(self):
        return CausalDecoder(self)

    @torch.inference_mode()
    def encode_frames(self, frames):
        if len(frames) % STRIDE != 1:
            raise ValueError(f"{self.name} encodes 4 n + 1 frames of video (1, 5, 9, ...), not {len(frames)}")
        mean, std = self.statistics()
        with self.autoencoder() as vae:
            video = to_images(frames, self).transpose(0, 1)[None]
            latents = vae.encode(video).latent_dist.mean
        return ((latents - mean) * (1 / std))[0].transpose(0, 1)

    def latent_frames(self, frames):
        return -(-(frames - 1) // STRIDE) + 1

    def video_frames(self, latents):
        return STRIDE * (latents - 1) + 1


class SkyReels(Wan):
    """SkyReels-V2-DF: Wan2.1 that is told a frame rate, by a vector added to the modulation of its blocks.

    The vector is the same in every call, so it is folded into the bias of the projection that makes the modulation,
    and what remains is a Wan transformer.
    """

    def load_transformer(self):
        original = self.part(SkyReelsV2Transformer3DModel, "transformer", self.precision)
        if not original.config.inject_sample_info:
            return as_wan(original)
        bias = original.condition_embedder.time_proj.bias
        bias.data = (bias.double() + rate_vector(original, self.run_options.fps_condition)).to(bias.dtype)
        return as_wan(original)


def rate_vector(transformer: SkyReelsV2Transformer3DModel, fps: int) -> Float[Tensor, " modulation"]:
    """What a frame rate adds to the modulation of the blocks, in float64; the network tells 16 from any other."""
    row = transformer.fps_embedding.weight[0 if fps == 16 else 1].double()
    first, last = transformer.fps_projection.net[0].proj, transformer.fps_projection.net[2]
    with torch.no_grad():
        inside = nn.functional.silu(nn.functional.linear(row, first.weight.double(), first.bias.double()))
        return nn.functional.linear(inside, last.weight.double(), last.bias.double())


def as_wan(original: SkyReelsV2Transformer3DModel) -> WanTransformer3DModel:
    """The same weights, not copied, as a Wan transformer; what embeds the frame rate is left out."""
    keys = inspect.signature(WanTransformer3DModel.__init__).parameters.keys() & original.config.keys()
    config = {key: original.config[key] for key in keys}
    with init_empty_weights():
        transformer = WanTransformer3DModel(**config)
    state = {name: value for name, value in original.state_dict().items() if not name.startswith("fps_")}
    transformer.load_state_dict(state, strict=True, assign=True)
    transformer.rope = type(transformer.rope)(  # its tables are in no state
        config["attention_head_dim"], tuple(config["patch_size"]), config["rope_max_seq_len"]
    )
    return transformer.eval().requires_grad_(False)


class CausalDecoder(Decoder):
    """Decodes latent frames one by one and keeps the features that the next one's causal convolutions read.

    Equal to decoding the whole video at once, in constant memory. The cache belongs to the decoder, so several videos
    can be decoded in turns.
    """

    saved = ("cache",)  # by position: features, None, or the mark that a time up-sampler holds after one latent frame

    def __init__(self, model: Wan) -> None:
        self.model, self.size = model, model.size
        model.vae.clear_cache()
        self.cache: list[Tensor | str | None] = model.vae._feat_map

    def decode(self, latents):
        model = self.model
        mean, std = model.statistics()
        latents = latents.to(model.device, model.dtype).transpose(0, 1)[None]
        images = []
        with model.autoencoder() as vae:
            for latent in vae.post_quant_conv(latents / (1 / std) + mean).split(1, dim=2):
                first = all(entry is None for entry in self.cache)
                video = vae.decoder(latent, feat_cache=self.cache, feat_idx=[0], first_chunk=first)
                video = unpatchify(video, vae.config.patch_size or 1)
                images.append(video[0].transpose(0, 1).clamp(-1, 1))
        return torch.cat(images)
