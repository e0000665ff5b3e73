"""Replay golden cases: `python -m tests.parity DIR [--set NAME] [--case NAME]`.

A set is a folder below DIR with a README.md or a json, a case a json in it (`<case>.json`, with its tensors beside it).
The module `tests.parity.<set>` replays a case: `replay(case, folder)` yields a `Check` per compared quantity. Exit
status 1 when anything fails, or when a set or case is found that nobody knows how to replay.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import traceback
from pathlib import Path

from tests.parity.check import NOT_STORED, Check

ROW = "{:<22} {:<42} {:<34} {:>10} {:>10}  {}"


def replay_case(name: str, case: str, folder: Path) -> list[Check]:
    """All checks of one case; what cannot be replayed is a failed check that says why.

    A case need not hold all arrays that its siblings do: what is absent is not compared, what is there must be.
    """
    try:
        module = importlib.import_module(f"tests.parity.{name}")
    except ModuleNotFoundError:
        return [Check.failed(f"no replay for the set {name!r}")]
    try:
        checks = [check for check in module.replay(case, folder) if check.note != NOT_STORED]
    except Exception as error:  # a case that cannot be replayed must not hide the others
        traceback.print_exc()
        return [Check.failed(f"{type(error).__name__}: {error}")]
    return checks or [Check.failed("nothing was compared")]


def cases(root: Path, only_set: str | None, only_case: str | None) -> list[tuple[str, str, Path]]:
    """(set, case, folder) for every case below `root`, which may be one set's own folder. What a set calls a case is
    its module's word (`cases(folder)`); by default every json in the folder is one."""
    is_set = any(any(root.glob(kind)) for kind in ("*.json", "*.safetensors"))
    folders = [root] if is_set else []
    for folder in sorted(root.glob("*/")):
        if (folder / "README.md").is_file() or (not is_set and any(folder.glob("*.json"))):
            folders.append(folder)
    found = []
    for folder in folders:
        if only_set not in (None, folder.name):
            continue
        try:
            list_cases = getattr(importlib.import_module(f"tests.parity.{folder.name}"), "cases", None)
        except ModuleNotFoundError:
            list_cases = None
        names = list_cases(folder) if list_cases else sorted(path.stem for path in folder.glob("*.json"))
        # a set without a case is listed too: it fails rather than hides
        found += [(folder.name, name, folder) for name in names or ["-"] if only_case in (None, name)]
    return found


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.parity", description=__doc__.split("\n\n")[0])
    parser.add_argument("dir", type=Path, help="folder of golden sets, or one set's folder")
    parser.add_argument("--set", help="only this set")
    parser.add_argument("--case", help="only this case")
    args = parser.parse_args(argv)
    found = cases(args.dir, args.set, args.case)
    if not found:
        print(f"no golden case below {args.dir} (a set is a folder with a json per case)", file=sys.stderr)
        return 1
    print(ROW.format("set", "case", "quantity", "error", "tolerance", ""))
    failed = total = 0
    for name, case, folder in found:
        for check in replay_case(name, case, folder):
            total += 1
            failed += not check.passed
            errors = f"{check.error:.2e}", f"{check.tolerance:.0e}"
            print(ROW.format(name, case, check.quantity, *errors, check.verdict))
        sys.stdout.flush()
    print(f"{total - failed} passed, {failed} failed, in {len(found)} cases")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
