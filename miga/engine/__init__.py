"""The engine: queues of frames at mixed noise levels, plans of windows over them, solvers, keyed noise.

What a method is written with is here by name, such as `from miga.engine import Method, sample_clip`; its module is
imported when it is asked for. Functions that are named like their module (`sweep`, `diagonal`, `attention`) are
imported from that.
"""

from importlib import import_module
from typing import Any

EXPORTS = {  # module -> what it gives a method
    "abilities": ("Abilities",),
    "attention": ("Grid", "Heads", "denoise_with", "temporal_attention"),
    "base_model": ("BaseModel", "Decoder", "Text"),
    "checkpoint": ("Part", "Stream"),
    "diagonal": ("Diagonal", "warm_start"),
    "method": ("Card", "METHODS", "Method", "MethodConfig"),
    "noise": ("KeyedNoise", "Noise"),
    "queue": ("LatentQueue",),
    "sampling": ("sample_clip",),
    "solvers": ("DDIM", "FlowUniPC", "Solver"),
    "sweep": ("Context", "Lane", "advance"),
    "trace": ("Trace",),
    "windows": ("Window", "aligned_spans", "freeze", "guided", "plain", "sliding_spans"),
}
__all__ = [name for names in EXPORTS.values() for name in names]


def __getattr__(name: str) -> Any:
    for module, names in EXPORTS.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
