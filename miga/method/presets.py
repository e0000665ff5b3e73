"""MIGA's presets as tables: each constant as a function of the window f0 and the number of levels T, with its source.

The release has two columns: VideoCrafter2's is used for models that predict epsilon, Wan2.1's for those that predict
the flow. Functions go through the published values at f0 = 16, T = 64 and f0 = 21, T = 54. Where the source is a line,
it is one of the official code at commit b5a98a4: `funcs.py` is videocraft_based/scripts/evaluation/funcs.py,
`text2video.py` is wan_based/wan/text2video.py, `saw_width` and `temporal_memory_len` are options. What is marked
(choice) is ours: neither the paper's summary nor its figures, which is what we had of it, say it.
"""

from __future__ import annotations


def guides(f0: int, T: int) -> int:
    """As many as published for both models, or half of a window that is shorter (docs/hyperparameters.md)."""
    return min(f0 // 2, 4)


SIZES = {  # of the release, for both presets
    "epsilon": dict(
        l_zig=lambda f0, T: max(f0 // 4, 1),  # 4: saw_width
        m_guid=guides,  # 4: temporal_memory_len
        stride=lambda f0, T: max(f0 // 2, 1),  # 8: funcs.py:276, :592
        unified_levels=lambda f0, T: max(min(T // 5, 10), 1),  # 10: funcs.py:597, `fifo_end_noise_index`
        n_samp=5,  # funcs.py:382
        judged_age=lambda f0, T: max(T * 13 // 64, 1),  # 13: funcs.py:364, index 50 of 64
        reference_chunks=lambda f0, T: max(f0 // max(f0 // 4, 1) - 1, 1),  # 3: funcs.py:365
    ),
    "flow": dict(
        l_zig=lambda f0, T: max(f0 // 3, 1),  # 7: saw_width
        m_guid=guides,  # 4: temporal_memory_len
        stride=lambda f0, T: max(f0 // 2, 1),  # 10: text2video.py:574, :837
        unified_levels=lambda f0, T: max(min(T // 5, 10), 1),  # 10: text2video.py:549, T - 10
        n_samp=3,  # text2video.py:690
        judged_age=lambda f0, T: max(T * 13 // 64, 1),  # 10: text2video.py:671
        reference_chunks=lambda f0, T: max(f0 // max(f0 // 3, 1) - 1, 1),  # 2: text2video.py:677
    ),
}

PAPER = dict(
    guidance="prefix_uniform",  # m frames spread over all earlier ones; Figure A2
    reflection="always",  # at the tail of the queue, while the video is generated
    budget=None,  # as often as delta says
    delta=0.01,  # (choice) delta_adju of the release's options for Wan2.1
    score="frames",  # mean cosine of judged and reference frames
    update="deferred",  # (choice) free of order, so that windows share calls
    warmup="full",  # (choice) whatever the length: a longer video begins with the shorter one
    fill_start="last_frame",  # text2video.py:538-570, funcs.py:245-272
    fill="noise",  # new frames are noise
    candidates="last_frame",  # nearly noise: funcs.py:382, text2video.py:690
    refill_gaps=False,
    relabel=False,
    renoise=False,  # not in the paper
    whole=False,
    drop_last=0,
)

ADAPTIVE = PAPER | dict(
    budget=0.3,  # (choice) ours; nothing else differs from `paper`
)

RELEASED = PAPER | dict(
    guidance="comb",  # funcs.py:303-339, :651-686; text2video.py:599-627, :890-917
    reflection="warmup",  # funcs.py:363-476; text2video.py:670-814
    warmup="short",  # funcs.py:245-272; text2video.py:538-570: no more sweeps than chunks
    renoise=True,  # funcs.py:822-896; text2video.py:1120-1217
    whole=True,  # funcs.py:754-818; text2video.py:1026-1117
)

PRESETS = {  # (preset, prediction) -> constant -> value, or function of (f0, T)
    ("paper", "epsilon"): SIZES["epsilon"] | PAPER,
    ("paper", "flow"): SIZES["flow"] | PAPER,
    ("adaptive", "epsilon"): SIZES["epsilon"] | ADAPTIVE,
    ("adaptive", "flow"): SIZES["flow"] | ADAPTIVE,
    ("released", "epsilon"): SIZES["epsilon"]
    | RELEASED
    | dict(
        delta=0.001,  # funcs.py:372, whatever the options say
        score="pooled",  # funcs.py:182-211
        update="in_place",  # funcs.py:700-704
        refill_gaps=True,  # funcs.py:603-745: a chunk enters in every iteration
    ),
    ("released", "flow"): SIZES["flow"]
    | RELEASED
    | dict(
        fill="last_frame",  # text2video.py:847-1017
        relabel=True,  # text2video.py:970-975
        drop_last=lambda f0, T: f0,  # 21: text2video.py:1221
    ),
}

FOLLOWING_PAPER = dict(
    near=lambda chosen: max(chosen["l_zig"] // 2, 1),  # (choice) as funcs.py:315, but never the window itself
    unified_level=lambda chosen: chosen["emit_level"],  # e - 1, the level of the frames that leave stage 1
    warmup_update=lambda chosen: chosen["update"],
)

FOLLOWING = {  # (preset, prediction) -> constant -> function of the constants above, whoever set them
    ("paper", "epsilon"): FOLLOWING_PAPER,
    ("paper", "flow"): FOLLOWING_PAPER,
    ("adaptive", "epsilon"): FOLLOWING_PAPER,
    ("adaptive", "flow"): FOLLOWING_PAPER,
    ("released", "epsilon"): FOLLOWING_PAPER
    | dict(
        near=lambda chosen: chosen["l_zig"] // 2,  # funcs.py:315
        warmup_update=lambda chosen: "in_place",  # funcs.py:352-359
    ),
    ("released", "flow"): FOLLOWING_PAPER
    | dict(
        near=lambda chosen: 3,  # text2video.py:610, :900
        unified_level=lambda chosen: chosen["emit_level"] + 1,  # text2video.py:1026-1117: one level too high
        warmup_update=lambda chosen: "in_place",  # text2video.py:642-668
    ),
}
