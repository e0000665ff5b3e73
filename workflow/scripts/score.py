"""Score the videos of one entry: a row per video and metric."""

from start import start

start(snakemake)

from backbones import load
from videos import videos_of

from eval import scores
from eval.vbench.score import score_videos

metrics = snakemake.params.metrics
videos = videos_of(snakemake.input, metrics)
backbones = load(snakemake.params.backbones, {metric for chosen in metrics.values() for metric in chosen})
scores.write(score_videos(videos, backbones, metrics=metrics), snakemake.output[0])
