"""The leaderboards: the rows of the main tables in a schema that other machines can check and merge."""

from start import start

start(snakemake)

from datetime import UTC, datetime
from pathlib import Path

from shards import facts_of

from eval import leaderboard, scores

path, params = Path(snakemake.input.scores), snakemake.params
table, facts = scores.read(path), facts_of(snakemake.input.manifests)
scored = datetime.fromtimestamp(path.stat().st_mtime, UTC).date().isoformat()
rows = table[table["entry"].isin(params.entries)]
for board in map(Path, snakemake.output):
    found = leaderboard.build(rows, facts, scored, leaderboard.BOARDS[board.stem], params.resamples)
    leaderboard.write(found, board)
