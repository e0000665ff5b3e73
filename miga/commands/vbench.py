"""Commands around VBench: weights, whether a folder is what it expects, its result files."""

from __future__ import annotations

from pathlib import Path

from tyro.conf import Positional

from eval.vbench import VBENCH


def fetch(weights: Path | None = None, official: bool = False) -> int:
    """Download the weights of VBench's networks to where its package looks for them, and compare their sha256.

    Example: miga vbench fetch --weights weights

    Args:
        weights: Folder to fill; default $VBENCH_CACHE_DIR or ~/.cache/vbench.
        official: Also what only the official backend needs.
    """
    from eval.vbench import weights as files

    files.fetch(files.FILES + files.OFFICIAL * official, weights)
    for _, _, words in files.inventory(weights):
        print(words)
    return 0


def check(
    folder: Positional[Path],
    prompts: Path | None = None,
    dimensions: tuple[str, ...] = VBENCH,
    limit: int | None = None,
    seed: int = 0,
    samples: int | None = None,
) -> int:
    """Name every missing, extra, unreadable, too short, 10-bit or odd video before scoring; exit status 1 if any.

    Example: miga vbench check videos --samples 1

    Args:
        folder: Videos named `<prompt>-<i>.mp4`, as the standard suite wants them.
        prompts: VBench_full_info.json; default the one of the package in $VBENCH_PYTHON's environment.
        dimensions: Whose prompts are expected.
        limit: Only so many prompts, drawn by the seed.
        seed: Of that draw.
        samples: Videos per prompt; default what VBench asks for.
    """
    from eval.vbench import official
    from eval.vbench.prompts import preflight, read

    python = official.python()
    if prompts is None and python is None:
        raise ValueError("--prompts: name VBench_full_info.json, or in $VBENCH_PYTHON an environment with the package")
    chosen = read(prompts or official.package(python) / "VBench_full_info.json", dimensions, limit, seed)
    found = list(preflight(folder, chosen, samples))
    print("\n".join(found) if found else f"{folder}: what a run on {len(chosen)} prompts expects")
    return 1 if found else 0


def export(table: Positional[Path], out: Path = Path("eval_results.zip"), base: str = "", entry: str = "") -> int:
    """Write VBench's results files as the zip that its leaderboard takes.

    Example: miga vbench export scores.parquet --out submission.zip

    Args:
        table: A long table of scores, such as `miga score` writes.
        out: The zip; a name that ends in .json gives one file with all dimensions, as the package writes it.
        base: Which base model of the table, where there are several.
        entry: Which entry, where there are several.
    """
    from eval import scores
    from eval.vbench.export import DIMENSIONS, submission

    rows = scores.read(table)
    rows = rows[(rows["base"] == base) | (not base)]
    rows = rows[(rows["entry"] == entry) | (not entry)]
    present = [dimension for dimension in DIMENSIONS if dimension in set(rows["metric"])]
    print(f"{submission(rows, out)}: {', '.join(present)}")
    if len(present) < len(DIMENSIONS):
        print(f"no total: {len(DIMENSIONS) - len(present)} of {len(DIMENSIONS)} dimensions are not in the table")
    return 0
