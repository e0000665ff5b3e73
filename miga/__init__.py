"""MIGA and the engine for training-free long video generation: every method is a schedule of which frames, at which
noise level, with which context, a pretrained denoiser sees.

    from miga import load, generate

    for frames in generate(load("sprites-unet"), "a red circle moves right over a plain grey background", frames=96):
        ...  # uint8 (n, height, width, 3), as they come
"""

from importlib import import_module

__version__ = "0.1.0"
EXPORTS = {"load": "miga.models", "generate": "miga.experiment.single"}  # imported when they are asked for
__all__ = ["__version__", *EXPORTS]


def __getattr__(name: str):
    if name in EXPORTS:
        return getattr(import_module(EXPORTS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
