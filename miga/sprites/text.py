"""Tokenizer files and caption augmentation for the text towers of the sprites models."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise

import numpy as np
from tokenizers import pre_tokenizers
from transformers import CLIPTokenizer

from miga.sprites import world

MAX_TOKENS = 32  # the longest caption of the grammar (two events, a companion) takes 29 with both end marks
START, END = "<|startoftext|>", "<|endoftext|>"


def vocabulary() -> list[str]:
    """Every word of the caption grammar, sorted."""
    text = ["a", "an", "tiny", "past", "over", "background", "then", "it", "turns", "the"]
    names = (world.SHAPES, world.COLOURS, world.BACKGROUNDS, world.PATTERNS, world.SIZES)
    phrases = " ".join(world.MOTION_PHRASES.values()).split()
    return sorted({*text, *phrases, *(word for group in names for word in group)})


def _merges() -> list[tuple[str, str]]:
    """Byte-pair merges, in order, that make one token of every word of the vocabulary.

    The most frequent pair first, and the first in the alphabet of several: the trainer of `tokenizers` picks any, and a
    training that was resumed would read its captions with other ids.
    """
    words = [(*word[:-1], f"{word[-1]}</w>") for word in vocabulary()]
    merges = []
    while any(len(word) > 1 for word in words):
        counts = Counter(pair for word in words for pair in pairwise(word))
        merges.append(min(counts, key=lambda pair: (-counts[pair], pair)))
        words = [_merge(word, merges[-1]) for word in words]
    return merges


def _merge(word: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    parts: list[str] = []
    for part in word:
        if parts and (parts[-1], part) == pair:
            parts[-1] += part
        else:
            parts.append(part)
    return tuple(parts)


def new_clip_tokenizer() -> CLIPTokenizer:
    """A CLIP tokenizer (lower case, byte level) that knows each word of the grammar as one token.

    Laid out as CLIP's own vocabulary: 256 bytes, the same with the end-of-word mark, merges, start, end. Any other
    text falls back to bytes, so no prompt is an error. Id 0 ("!") is what short prompts are padded with.
    """
    bytes_ = sorted(pre_tokenizers.ByteLevel.alphabet())
    bytes_.remove("!")
    bytes_.insert(0, "!")
    merges = _merges()
    tokens = bytes_ + [f"{b}</w>" for b in bytes_] + ["".join(pair) for pair in merges] + [START, END]
    vocab = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=MAX_TOKENS)


def clip_ids(tokenizer: CLIPTokenizer, prompts: list[str]):
    """Token ids (N, 32), padded with id 0 as VideoCrafter2's text tower has it; longer prompts are cut."""
    encoded = tokenizer(prompts, padding="max_length", max_length=MAX_TOKENS, truncation=True, return_tensors="pt")
    return encoded.input_ids.masked_fill(encoded.attention_mask == 0, 0)


def loosen(caption: str, rng: np.random.Generator) -> str:
    """Vary a caption for training, so that prompts off the grammar are understood as far as they go.

    Some captions lose their motion, their background or their commas, or get a word that means nothing here.
    """
    draw = rng.random()
    if draw < 0.04:
        return re.sub(r" (moves \w+|stays still|bounces around)(?= past| over)", "", caption, count=1)
    if draw < 0.08:
        return re.sub(r" over a \w+ \w+ background", "", caption, count=1)
    if draw < 0.14:
        words = caption.split(" ")
        junk = "".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz"), size=int(rng.integers(2, 9))))
        words.insert(int(rng.integers(1, len(words) + 1)), junk)
        return " ".join(words)
    if draw < 0.20:
        return caption.replace(",", "")
    return caption
