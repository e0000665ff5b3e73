"""The table of videos: what their sidecars say, read once, with the labels of today."""

from start import start

start(snakemake)

from shards import facts_of

from eval import records
from miga.engine.method import METHODS

params = snakemake.params
labels = {
    entry: label or METHODS.get(params.methods[entry]).card.label for entry, label in params.labels.items()
}
records.write(facts_of(snakemake.input, labels), snakemake.output[0])
