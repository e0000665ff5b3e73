"""Score the videos of one entry: a row per video and metric."""

from start import start

start(snakemake)

from backbones import load
from videos import videos_of

from eval import scores
from eval.vbench.score import score_videos

metrics = snakemake.params.metrics
table = score_videos(videos_of(snakemake.input, metrics), load(snakemake.params.backbones))
wanted = [metric in metrics[prompt] for metric, prompt in zip(table["metric"], table["prompt_id"], strict=True)]
scores.write(table[wanted], snakemake.output[0])
