"""What the repository says of the finished suite: docs/results-<suite>.md, .csv, and the marked blocks of README.md."""

from start import start

start(snakemake)

from datetime import date
from pathlib import Path

from eval.report import pages

params, page = snakemake.params, Path(snakemake.output.page)
suite, root = Path(snakemake.input.scores).parent, page.parent.parent
pages.write(suite, page.parent, params.title, params.tables, params.board, pages.commit(root), date.today().isoformat())
if (readme := root / "README.md").is_file():
    pages.fill(readme, page.parent)
