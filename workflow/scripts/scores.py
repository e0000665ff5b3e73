"""The scores of all entries as the one long table."""

from start import start

start(snakemake)

from eval import scores

scores.write(scores.read(snakemake.input), snakemake.output[0])
