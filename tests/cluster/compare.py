"""Two runs have the same tables, but for times and memory: `python tests/cluster/compare.py FOLDER FOLDER`."""

import sys
from pathlib import Path

from pandas.testing import assert_frame_equal

from eval import records, scores

TIMES = {"cost.csv", "speed.csv"}  # what was measured on each
KEYS = ["base", "entry", "metric", "prompt_id", "seed"]


def main(here: Path, there: Path) -> None:
    one, two = (scores.read(folder / "scores.parquet").sort_values(KEYS, ignore_index=True) for folder in (here, there))
    try:
        assert_frame_equal(one, two)
    except AssertionError as error:
        sys.exit(f"the scores differ: {error}")
    names = [path.name for path in sorted((here / "tables").glob("*.csv")) if path.name not in TIMES]
    for name in names:
        if (here / "tables" / name).read_bytes() != (there / "tables" / name).read_bytes():
            sys.exit(f"tables/{name} differs between {here} and {there}")
    videos = records.read(there / "videos.parquet")
    if not len(videos) or not names:
        sys.exit(f"{there}: nothing was made")
    print(f"{len(videos)} videos, {len(one)} scores and {len(names)} tables are the same")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
