"""The leaderboards: the rows of the main tables in a schema that other machines can check and merge."""

from start import start

start(snakemake)

from datetime import UTC, datetime
from pathlib import Path

from chosen import benchmarks

from eval import leaderboard, records, scores

path, params = Path(snakemake.input.scores), snakemake.params
table, facts = scores.read(path), records.read(snakemake.input.videos)
scored = datetime.fromtimestamp(path.stat().st_mtime, UTC).date().isoformat()
rows = table[table["entry"].isin(params.entries)]
for (benchmark, settings), board in zip(benchmarks(params.benchmarks), map(Path, snakemake.output), strict=True):
    own, metrics = benchmark.own(rows, settings), benchmark.board(settings)
    leaderboard.write(leaderboard.build(own, facts, scored, metrics, params.resamples), board)
