"""Sliding windows, RIFLEx, UltraViCo, LVSA and FreeLOC: neutral settings, invariants, refusals."""

from __future__ import annotations

import re
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from baselines.freeloc import FreeLOC
from baselines.freeloc.branches import Lengths, branch_attention, tsa, vrpr
from baselines.lvsa import pattern
from baselines.lvsa.pattern import attended, global_frames, key_frame_interval, shrunk, sparse_attention
from baselines.riflex import RIFLEx, frequencies, slowed
from baselines.sliding_window import SlidingWindow, own_texts
from baselines.sliding_window.windows import average, weight, windows
from baselines.ultravico.decay import Decay, decayed_attention
from miga.engine import attention as engine
from miga.engine.abilities import lacking
from miga.engine.attention import Grid, Rotary, attention, rotate, time_frequencies, time_frequency, time_tables
from miga.engine.frame_texts import frame_texts
from miga.engine.method import METHODS
from tests.baselines.free_models import FAMILIES, sample, text_of, tiny

FRAMES, TOKENS = 9, 4
WEIGHTS = ("pyramid", "flat", "overlap_linear", "relative")
wan = partial(tiny, "transformer")


def heads(rows=2, frames=FRAMES, tokens=TOKENS, seed=0):
    """q, k, v: two heads of width 8."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(3, rows, 2, frames, tokens, 8, generator=generator).unbind()


def rotary(channels=4, positions=64):
    angles = torch.arange(positions)[:, None] * frequencies(channels).float().repeat_interleave(2)
    return Rotary(angles.cos(), angles.sin())


def grid(frames=FRAMES):
    return Grid(2, frames, 2, TOKENS // 2, rotary=rotary())


ATTENDS = {
    "ultravico": partial(decayed_attention, decay=Decay(3)),
    "lvsa": partial(sparse_attention, window=1, first=1, interval=4, offset=1),
    "freeloc vrpr": partial(branch_attention, branches=[*vrpr(FRAMES, TOKENS, Lengths(2, 4, round_to=1)).values()]),
    "freeloc tsa": partial(
        branch_attention, branches=[*tsa(FRAMES, TOKENS, Lengths(D1=2, D2=4, shift=3, round_to=1)).values()]
    ),
}


@pytest.mark.parametrize("attend", ATTENDS.values(), ids=ATTENDS)
def test_heads_and_rows_are_independent(attend):
    q, k, v = heads()
    out = attend(q, k, v, grid())
    assert not torch.allclose(out, attention(q, k, v), atol=1e-2)
    turned = attend(*(x.flip(0, 1) for x in (q, k, v)), grid())
    torch.testing.assert_close(turned, out.flip(0, 1))


@pytest.mark.parametrize("attend", ATTENDS.values(), ids=ATTENDS)
def test_blocks_of_queries_change_nothing(attend, monkeypatch):
    q, k, v = heads()
    whole = attend(q, k, v, grid())
    for module in (engine, pattern):
        monkeypatch.setattr(module, "BATCH", 5 * 4 * FRAMES * TOKENS)  # five queries a block
    torch.testing.assert_close(attend(q, k, v, grid()), whole)


NEUTRAL = {
    "ultravico": partial(decayed_attention, decay=Decay(3, alpha=1.0, cut=False)),
    "ultravico of one window": partial(decayed_attention, decay=Decay(2 * FRAMES)),
    "lvsa": partial(sparse_attention, window=FRAMES, first=1, interval=1, offset=0),
    "freeloc": partial(branch_attention, branches=[*vrpr(FRAMES, TOKENS, Lengths(FRAMES + 1, FRAMES + 2)).values()]),
}


@pytest.mark.parametrize("attend", NEUTRAL.values(), ids=NEUTRAL)
def test_a_neutral_setting_is_full_attention(attend):
    q, k, v = heads()
    torch.testing.assert_close(attend(q, k, v, grid()), attention(q, k, v))


# ----------------------------------------------------------------------------------------------------------- the engine


def test_turning_adds_to_a_rotation():
    table, x = rotary(), heads()[0]
    own = torch.arange(FRAMES)
    tables = (torch.cat((t[own], torch.ones(FRAMES, 4) if t is table.cos else torch.zeros(FRAMES, 4)), 1)[:, None]
              for t in (table.cos, table.sin))  # fmt: skip
    rotated = rotate(x, *tables)
    torch.testing.assert_close(table.turn(x, own), rotated)  # the last channels are not of time
    torch.testing.assert_close(table.turn(rotated, -own), x)
    by = torch.tensor([3, -1, 0, 2, 5, -4, 1, 0, -8])
    torch.testing.assert_close(table.turn(rotated, by), table.turn(x, own + by))


def test_each_attention_is_told_its_block():
    seen = []

    def spy(q, k, v, grid):
        seen.append((grid.block, grid.rotary is not None))
        return attention(q, k, v)

    for family, (blocks, has_rotary) in {"transformer": (2, True), "unet": (None, False)}.items():
        model, _ = tiny(family), seen.clear()
        with engine.temporal_attention(model.denoiser, spy):
            model.denoise(torch.zeros(1, 4, *model.latent_shape), torch.zeros(1, 4, dtype=torch.long), text_of(""), 1.0)
        numbers = [number for number, _ in seen]
        assert {known for _, known in seen} == {has_rotary}
        assert numbers[0] == 0 and len(set(numbers)) == (blocks or len(numbers) // 2)  # a UNet's have two each


def test_a_frequency_is_changed_for_a_while():
    network = wan().denoiser
    before, own = [table.clone() for table in time_tables(network)], time_frequencies(network)
    torch.testing.assert_close(own, frequencies(2 * len(own)), rtol=0, atol=1e-6)
    with pytest.raises(RuntimeError, match="broken"), time_frequency(network, 1, 0.3):
        assert [*time_frequencies(network)] == pytest.approx([float(own[0]), 0.3], abs=1e-6)
        raise RuntimeError("broken")
    assert all(torch.equal(a, b) for a, b in zip(before, time_tables(network), strict=True))
    with pytest.raises(ValueError, match="UNet3DConditionModel has no rotary positions over time"):
        time_tables(tiny("unet").denoiser)


# -------------------------------------------------------------------------------------------------------------- methods


@given(
    st.sampled_from(("static", "uniform", "batched")),
    st.integers(1, 60),
    st.integers(2, 12),
    st.integers(0, 11),
    st.integers(0, 9),
)
@settings(max_examples=200, deadline=None)
def test_windows_lie_in_the_video_and_leave_no_frame_out(schedule, frames, length, overlap, step):
    overlap = min(overlap, length // 2)
    found = windows(schedule, frames, length, overlap, step)
    assert all(min(window) >= 0 and max(window) < frames and len(set(window)) == len(window) for window in found)
    assert {frame for window in found for frame in window} == {*range(frames)}
    for kind in WEIGHTS:
        assert all((weight(kind, window, frames, overlap) > 0).all() for window in found)


@pytest.mark.parametrize("kind", WEIGHTS)
def test_windows_that_agree_are_what_they_agree_on(kind):
    video = torch.randn(23, 3, 2)
    found = windows("static", 23, 9, 3)
    torch.testing.assert_close(average([video[window] for window in found], found, 23, kind, 3), video)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("method", ("sliding_window", "lvsa"))
def test_a_video_as_long_as_the_models_own_clip_is_that_clip(method, family):
    model = tiny(family)
    own = sample("direct", model, model.window)
    torch.testing.assert_close(sample(method, model, model.window), own, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "params", [dict(schedule="uniform"), dict(schedule="batched"), dict(anchor="previous"), dict(freenoise=True)]
)
def test_sliding_windows_of_every_kind_make_a_video_of_their_own(params, family):
    model = tiny(family)
    plain, other = (sample("sliding_window", model, 11, **chosen) for chosen in ({}, params))
    assert other.shape == plain.shape and other.isfinite().all() and not torch.allclose(plain, other, atol=1e-3)


def test_a_window_reads_the_prompt_whose_part_holds_its_centre():
    texts = [text_of(prompt) for prompt in "ab"]
    found = windows("static", 12, 4, 1)
    assert [window[0] for window in found] == [0, 3, 6, 8]
    assert "".join(text.prompt for text in own_texts(found, texts, 12)) == "aabb"
    model = wan()
    first = sample("sliding_window", model, 12, ("a", "b"), window=4, overlap=1)
    alone = sample("sliding_window", model, 12, ("a",), window=4, overlap=1)
    assert not torch.allclose(first, alone, atol=1e-3)
    with pytest.raises(ValueError, match=r"no window of 12 latent frames has its centre in the part of the prompt 'a'"):
        sample("sliding_window", model, 12, "abcdefgh", window=4, overlap=1)


@pytest.mark.parametrize("family", FAMILIES)
def test_with_lvsa_the_same_prompt_twice_is_that_prompt(family):
    model = tiny(family)
    once, twice, other = (sample("lvsa", model, 8, prompts) for prompts in (("a",), ("a", "a"), ("a", "b")))
    torch.testing.assert_close(twice, once, atol=1e-4, rtol=1e-4)
    assert (other - once).abs().max() > 1e-3
    with pytest.raises(ValueError, match="lvsa: 3 prompts need as many latent frames, not 2"):
        sample("lvsa", model, 2, "abc")


@pytest.mark.parametrize("name", ["sliding_window", "riflex", "ultravico", "lvsa", "freeloc"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_video_that_begins_with_given_frames_keeps_them(name, family):
    model = tiny(family)
    if lacking(METHODS.get(name).card.needs, model.abilities):
        return
    given = torch.randn(2, *model.latent_shape, generator=torch.Generator().manual_seed(3))
    video = sample(name, model.with_start(given), 9)
    assert video.isfinite().all() and torch.equal(video[:2], given) and len(video) == 9
    assert not torch.allclose(video[2:], sample(name, model, 9)[2:], atol=1e-3)


@pytest.mark.parametrize("family", FAMILIES)
def test_each_frame_reads_the_text_that_it_is_told(family):
    model, first, second = tiny(family), text_of("a").positive, text_of("b").positive
    site = next(
        m for name, m in model.denoiser.named_modules() if re.search(r"^(blocks|.*\.attentions)\..*attn2$", name)
    )
    latents = torch.randn(1, 5, *model.latent_shape, generator=torch.Generator().manual_seed(0))

    def read(*texts):
        """What the first attention to the prompt makes for each frame; nothing before it knows a prompt."""
        made = []
        hook = site.register_forward_hook(lambda module, args, output: made.append(output))
        with hook, frame_texts(model.denoiser, texts):
            model.denoise(latents, torch.full((1, 5), 3), text_of("c"), 1.0)
        return made[0].reshape(5, -1)

    mixed = read(first, second, second, first, second)
    for frame, text in enumerate((first, second, second, first, second)):
        torch.testing.assert_close(mixed[frame], read(*[text] * 5)[frame])
    assert not torch.allclose(read(*[first] * 5), read(*[second] * 5), atol=1e-4)


def test_a_network_without_attention_to_prompts_is_refused():
    with pytest.raises(ValueError, match="Linear has no attention to a prompt"), frame_texts(torch.nn.Linear(1, 1), []):
        pass


def test_sparse_windows_without_room_are_refused():
    with pytest.raises(ValueError, match="stride 2 has no room in a video of 4 latent frames"):
        sample("sliding_window", wan(), 4, window=3, overlap=0, schedule="uniform", stride=2)


def test_sliding_windows_that_overlap_wholly_are_refused():
    with pytest.raises(ValueError, match="overlap 4 must be less than the window of 4"):
        sample("sliding_window", wan(), 12, window=4, overlap=4)
    assert SlidingWindow().weights == "pyramid"


WAN = frequencies(44)


@pytest.mark.parametrize(
    ("config", "frames", "k", "period"),
    [
        ({}, 41, 6, 41 / 0.9),  # shorter than the 51 frames that it was
        ({}, 81, 6, 90.0),
        (dict(preset="paper"), 81, 6, 81.0),
        (dict(preset="lvsa"), 63, 4, 63.0),
        (dict(preset="lvsa"), 81, 4, 84.0),
        (dict(preset="freeloc"), 81, 5, 80.0),
        (dict(k=3, scale=1.0, length=20), 81, 3, 20.0),
        (dict(guard=True), 81, 6, 90.0),
    ],
)
def test_riflex_slows_what_its_preset_says(config, frames, k, period):
    component, frequency = slowed(RIFLEx(**config), WAN, frames, 21)
    assert (component, 2 * torch.pi / frequency) == (k, pytest.approx(period))


@pytest.mark.parametrize(("config", "frames"), [(dict(guard=True), 41), (dict(preset="lvsa"), 21)])
def test_riflex_leaves_short_videos_alone(config, frames):
    assert slowed(RIFLEx(**config), WAN, frames, 21) is None


def test_riflex_on_a_network_of_few_components():
    assert slowed(RIFLEx(), frequencies(12), 13, 6)[0] == 1  # periods 6, 29, 135, ...
    with pytest.raises(ValueError, match="cannot slow component 3: this network has 2 rotary components"):
        sample("riflex", wan(), 5, k=3)


def test_riflex_at_the_old_frequency_is_direct_sampling():
    model = wan()
    before = [table.clone() for table in time_tables(model.denoiser)]
    own = 2 * torch.pi / float(time_frequencies(model.denoiser)[0])
    changed = sample("riflex", model, 5, k=1, scale=6 / own, length=6)
    torch.testing.assert_close(changed, sample("direct", model, 5), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(sample("riflex", model, 5, k=1), changed, atol=1e-3)
    assert all(torch.equal(a, b) for a, b in zip(before, time_tables(model.denoiser), strict=True))


def test_ultravico_needs_a_period_with_beta():
    with pytest.raises(ValueError, match="beta needs `period`"):
        sample("ultravico", wan(), 5, beta=0.6)


@given(st.integers(1, 90), st.integers(0, 6), st.integers(0, 3), st.integers(2, 30), st.integers(0, 40))
@settings(max_examples=200, deadline=None)
def test_lvsa_sees_itself_the_leading_frames_and_about_its_budget(frames, window, first, reference, step):
    window, first = shrunk(frames, window, min(first, frames), reference)
    interval = key_frame_interval(frames, window, first, reference)
    everywhere = global_frames(frames, first, interval, step % interval)
    found = attended(frames, window, everywhere)
    for frame, keys in enumerate(found):
        assert keys == sorted(set(keys)) and keys[0] >= 0 and keys[-1] < frames
        assert {*everywhere} <= {*keys} and (not window or frame in keys)
    assert interval == 1 or len(everywhere) < frames


def test_lvsa_moves_its_key_frames_with_the_steps():
    model = wan()
    moving, still = (sample("lvsa", model, 12, rotate=rotate) for rotate in (True, False))
    assert not torch.allclose(moving, still, atol=1e-3)


@given(st.integers(2, 40), st.integers(1, 9), st.integers(1, 8), st.integers(1, 20), st.sampled_from((1, 8)))
@settings(max_examples=100, deadline=None)
def test_branches_of_freeloc_are_disjoint_and_show_each_token_itself(frames, p, near, more, round_to):
    lengths = Lengths(W1=near, W2=near + more, D1=near, D2=near + more, round_to=round_to, end_sink=frames // 2)
    token = torch.arange(frames * p)
    for kind in (vrpr, tsa):
        masks = [branch.covers(token[:, None], token) for branch in kind(frames, p, lengths).values()]
        total = torch.stack(masks).sum(0)
        assert total.max() == 1 and total.diagonal().min() == 1
        for branch, mask in zip(kind(frames, p, lengths).values(), masks, strict=True):
            queries = slice(frames * p // 3, frames * p // 2 + 1)
            seen = mask[queries].any(0).nonzero().flatten().tolist()
            keys = branch.keys(queries)
            assert {*seen} <= {*range(keys.start, keys.stop)}


@pytest.mark.parametrize(("blocks", "sparse"), [(30, 17), (6, 4), (1, 1)])
def test_freeloc_takes_blocks_at_the_same_depth(blocks, sparse):
    assert len(FreeLOC().sparse(blocks)) == sparse


def test_freeloc_refuses_networks_that_it_has_no_list_for():
    with pytest.raises(ValueError, match="this network has 40: say which with `layers`"):
        FreeLOC().sparse(40)
    assert FreeLOC(layers=(31,)).sparse(40) == {31}
    with pytest.raises(ValueError, match=r"there is no block 2: this network has 2, from 0"):
        sample("freeloc", wan(), 5, layers=(0, 2))


@pytest.mark.parametrize(("frames", "W1", "W2"), [(22, 12, 20), (60, 12, 20), (61, 10, 14), (200, 10, 14)])
def test_freeloc_takes_the_lengths_of_the_nearer_released_video(frames, W1, W2):
    lengths = FreeLOC().lengths(frames, 21, 1560)
    assert (lengths.W1, lengths.W2, lengths.round_to) == (W1, W2, 128)
    assert FreeLOC(W1=5).lengths(frames, 21, 100).W1 == 5
    assert FreeLOC(W1=5).lengths(frames, 21, 100).round_to == 1
