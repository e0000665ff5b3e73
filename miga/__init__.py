"""MIGA and the engine for training-free long video generation: every method is a schedule of which frames, at which
noise level, with which context, a pretrained denoiser sees."""

__version__ = "0.1.0"
