"""The grade of the run and its findings."""

from start import start

start(snakemake)

from shards import facts_of

from eval import quality, scores

findings = quality.grade(scores.read(snakemake.input.scores), facts_of(snakemake.input.manifests))
quality.write(findings, snakemake.output[0])
