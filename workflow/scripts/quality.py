"""The grade of the run and its findings."""

from start import start

start(snakemake)


from eval import quality, records, scores

findings = quality.grade(scores.read(snakemake.input.scores), records.read(snakemake.input.videos))
quality.write(findings, snakemake.output[0])
