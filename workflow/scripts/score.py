"""Score the videos of one entry: a row per video and metric."""

from start import start

start(snakemake)

from backbones import load
from videos import videos_of

from eval import scores
from eval.vbench.score import score_videos

metrics = snakemake.params.metrics
videos, backbones = videos_of(snakemake.input, metrics), load(snakemake.params.backbones)
scores.write(score_videos(videos, backbones, metrics=metrics), snakemake.output[0])
