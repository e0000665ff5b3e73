"""The table of videos: what their sidecars say, read once, with the labels of today."""

from start import start

start(snakemake)

from shards import facts_of

from eval import records

records.write(facts_of(snakemake.input, snakemake.params.named), snakemake.output[0])
