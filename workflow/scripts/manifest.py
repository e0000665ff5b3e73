"""Where the results come from: versions, digests, hardware and command."""

from start import start

start(snakemake)

import os
from pathlib import Path

from eval import manifest

path, params = Path(snakemake.output[0]), snakemake.params
manifest.write(
    manifest.build(path.parent, os.environ.get("MIGA_COMMAND", "snakemake"), params.code, params.config), path
)
