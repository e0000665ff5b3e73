"""Window plans: every frame is stepped once, windows are as long as the model's, guidance looks where it should."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miga.engine.windows import (
    aligned_spans,
    comb,
    diagonal,
    freeze,
    guidance_policy,
    guided,
    head,
    plain,
    prefix_uniform,
    sliding_spans,
)

sizes = st.tuples(st.integers(1, 24), st.integers(0, 200), st.integers(1, 24), st.integers(0, 100)).map(
    lambda t: (t[0], t[0] + t[1], min(t[2], t[0]), t[3])
)  # width, n >= width, stride <= width, sweep


def stepped(windows):
    return [position for window in windows for position in window.steps]


@given(sizes)
def test_sliding_windows_step_each_frame_once_in_order(size):
    width, n, stride, shift = size
    windows = plain(sliding_spans(n, width, stride, shift), n, width)
    assert stepped(windows) == list(range(n))
    assert all(len(window.frames) == width for window in windows)


def test_sliding_spans_by_hand():
    assert sliding_spans(10, 4, 3, 0) == [(0, 3), (3, 3), (6, 4)]
    assert sliding_spans(11, 4, 3, 1) == [(0, 1), (1, 3), (4, 3), (7, 4)]
    assert sliding_spans(9, 4, 3, 0) == [(0, 3), (3, 2), (5, 4)]
    assert sliding_spans(5, 4, 3, 2) == [(0, 1), (1, 4)]  # the shift would leave less than a window
    assert sliding_spans(3, 4, 3, 1) == [(0, 3)]


@given(sizes)
def test_an_aligned_grid_has_its_rest_at_the_head(size):
    width, n, stride, _ = size
    spans = aligned_spans(n, width, stride)
    assert spans[-1] == (n - width, width)
    assert all(keep == stride for _, keep in spans[1:-1])


@given(sizes, st.integers(1, 8), st.sampled_from(["prefix_uniform", "comb", "head", "adjacent"]))
def test_guides_stand_before_their_window(size, guides, name):
    width, n, stride, shift = size
    policy = guidance_policy(name, chunk=4, near=2)
    windows = guided(sliding_spans(n, width, stride, shift), n, width, guides, policy)
    assert stepped(windows) == list(range(n))
    for window in windows:
        before, body = window.frames[: window.offset], window.frames[window.offset :]
        assert len(before) in (0, guides)
        assert list(before) == sorted(before)
        assert all(0 <= guide < body[0] for guide in before)
        assert body == tuple(range(body[0], body[0] + len(body)))


@given(sizes, st.integers(0, 100))
def test_no_guides_means_plain_windows(size, start):
    width, n, stride, shift = size
    spans = sliding_spans(n, width, stride, shift)
    assert guided(spans, n, width, 0, prefix_uniform) == plain(spans, n, width)


def test_policies_by_hand():
    assert prefix_uniform(8, 4) == [0, 2, 4, 6]
    assert prefix_uniform(7, 2) == [1, 4]
    assert prefix_uniform(100, 4) == [0, 25, 50, 75]
    assert list(head(100, 4)) == [0, 1, 2, 3]
    assert comb(4, 2)(100, 4) == [86, 90, 94, 98]
    assert comb(4, 2)(8, 4) == [0, 2, 4, 6]  # too close to the head for one guide per level


def test_a_window_near_the_head_looks_ahead_instead():
    first, *_ = guided([(0, 3)], 20, 6, 2, prefix_uniform)
    assert first.frames == tuple(range(8))
    assert first.steps == (0, 1, 2)


@given(sizes, st.integers(0, 30))
def test_frozen_frames_are_read_and_not_stepped(size, frozen):
    width, n, stride, shift = size
    windows = plain(sliding_spans(n, width, stride, shift), n, width)
    trimmed = freeze(windows, frozen)
    assert stepped(trimmed) == list(range(min(frozen, n), n))
    needed = [window for window in windows if window.steps[-1] >= frozen]
    assert [window.frames for window in trimmed] == [window.frames for window in needed]


@given(st.integers(2, 40), st.integers(2, 12), st.booleans())
def test_diagonal_windows_step_each_level_once(num_levels, width, lookahead):
    prefix = width // 2 if lookahead else 0
    windows = diagonal(num_levels, width, lookahead)
    assert sorted(stepped(windows)) == list(range(prefix, prefix + num_levels))
    assert all(len(window.frames) == min(width, prefix + num_levels) for window in windows)


def test_diagonal_is_fifo_diffusions_partitioning():
    starts = [window.frames[0] for window in diagonal(12, 4, lookahead=True)]
    assert starts == [10, 8, 6, 4, 2, 0]  # noisiest first, half a window apart
    assert [window.steps for window in diagonal(12, 4, lookahead=False)] == [(8, 9, 10, 11), (4, 5, 6, 7), (0, 1, 2, 3)]


def test_guidance_on_a_diagonal_queue_replaces_context():
    plain_windows, guided_windows = diagonal(16, 8, True), diagonal(16, 8, True, 2, prefix_uniform)
    assert [w.steps for w in plain_windows] == [w.steps for w in guided_windows]
    assert guided_windows[0].frames == (0, 7, *range(14, 20))
    assert guided_windows[-1] == plain_windows[-1]
    with pytest.raises(ValueError, match="5 guidance frames do not fit"):
        diagonal(16, 8, True, 5, prefix_uniform)


def test_adjacent_guides_make_the_windows_of_fifo_diffusion():
    policy = guidance_policy("adjacent", chunk=4, near=2)
    assert list(policy(9, 3)) == [6, 7, 8]
    looking_back = guided([(3, 3), (6, 3)], 12, 3, 3, policy)
    assert [(window.frames, window.steps) for window in looking_back] == [
        ((0, 1, 2, 3, 4, 5), (3, 4, 5)),
        ((3, 4, 5, 6, 7, 8), (6, 7, 8)),
    ]
