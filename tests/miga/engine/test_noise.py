"""Keyed noise does not depend on how it is asked for; replayed noise depends on nothing else."""

import torch

from miga.engine.noise import KeyedNoise, ReplayNoise

SHAPE = (4, 2, 3)


def test_keyed_noise_is_addressed_and_not_ordered():
    noise = KeyedNoise(1)
    together = noise.frames("step", [3, 4, 5], [7, 6, 5], SHAPE)
    alone = noise.frames("step", [4], [6], SHAPE)
    assert torch.equal(together[1:2], alone)
    assert torch.equal(KeyedNoise(1).frames("step", [5, 3], [5, 7], SHAPE), together[[2, 0]])


def test_keyed_noise_differs_by_every_part_of_the_key():
    draws = [
        KeyedNoise(seed).frames(purpose, [frame], level, SHAPE)
        for seed, purpose, frame, level in [
            (1, "a", 2, 3),
            (2, "a", 2, 3),
            (1, "b", 2, 3),
            (1, "a", 3, 3),
            (1, "a", 2, 4),
        ]
    ]
    assert len({tuple(draw.flatten().tolist()) for draw in draws}) == len(draws)


def test_keyed_noise_is_standard_normal():
    draws = KeyedNoise(5).frames("step", range(200), 3, (4, 8, 8))
    assert abs(draws.mean()) < 0.02
    assert abs(draws.std() - 1) < 0.02


def test_a_window_draws_for_its_kept_frames_only_when_keyed():
    keyed = KeyedNoise(1).window("step", [4, 5, 6, 7], [3, 3, 2, 2], slice(1, 3), SHAPE)
    assert torch.equal(keyed, KeyedNoise(1).frames("step", [5, 6], [3, 2], SHAPE))

    stream = torch.Generator().manual_seed(9)
    expected = torch.stack([torch.randn(SHAPE, generator=stream) for _ in range(4)])
    replayed = ReplayNoise(9).window("step", [4, 5, 6, 7], [3, 3, 2, 2], slice(1, 3), SHAPE)
    assert torch.equal(replayed, expected[1:3])


def test_replay_draws_a_clip_as_one_block():
    block = torch.randn((4, 5, 2, 3), generator=torch.Generator().manual_seed(9))
    assert torch.equal(ReplayNoise(9).clip("start", 5, 0, SHAPE), block.transpose(0, 1))
