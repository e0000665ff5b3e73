"""`miga import`: videos that others made become an entry of a suite."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg


def take_in(
    folder: Positional[Path],
    name: Annotated[str, arg(name="as")],
    suite: str,
    label: str | None = None,
    trained: bool = False,
    licence: str | None = None,
    source: str | None = None,
    bases: tuple[str, ...] = (),
) -> int:
    """Make videos that somebody else made a row of a suite, with all its metrics; no sidecars are needed.

    Every frame is decoded and compared with what the suite asks of its own videos first. What differs is printed and
    written down in the entry, a file of its own beside that of the suite, which stays as it is.

    Example: miga import videos --suite sprites --as sora

    Args:
        folder: Videos named `<prompt id>.mp4`, `<prompt>-<i>.mp4` or `<prompt id>/*.mp4`; or a CSV file with the
            columns file and prompt_id (or prompt), and sample where there are several of one prompt.
        name: The entry, such as longlive.
        suite: A suite by name or path.
        label: How tables call it; default: its name.
        trained: A model was trained for it: its rows are marked so, else as external.
        licence: Of the videos.
        source: Where they come from, such as a URL.
        bases: Base models of the suite beside whose rows it stands; default: all.
    """
    import yaml

    from eval.files import write_text
    from eval.parsing import known, parse
    from miga.experiment.check import wanted
    from miga.experiment.digest import HOME, ROOT
    from miga.experiment.experiment import given_videos, home, imported_as, load_experiment
    from miga.experiment.given import unlike
    from miga.experiment.suite import MethodFile

    root = home()
    if root == HOME != ROOT and not suite.endswith((".yaml", ".yml")):
        raise ValueError(
            f"--suite {suite}: is one of the installed package, which stays as it is: `miga init FOLDER` lays down "
            "suites of your own; import in that folder"
        )
    experiment, path = load_experiment(suite, root), imported_as(suite, root, name)
    if name in experiment.rows() or path.exists():
        raise ValueError(f"--as {name}: the suite {experiment.name!r} has an entry of that name; choose another")
    for base in bases:
        known(base, experiment.suite.bases, "base model")
    where = folder.resolve()
    said = dict(videos=str(where.relative_to(root) if where.is_relative_to(root) else where), label=label)
    said |= dict(trained=trained, licence=licence, source=source, bases=list(bases) or None)
    given = parse(MethodFile, {"entries": {name: said}}, "miga import").entries[name]
    found = given_videos(name, given, root, experiment.suite, experiment.prompts)
    print("\n".join(found.sentences()))
    differs: dict[str, list[str]] = {}
    for base in given.bases or experiment.suite.bases:
        for key, sentence in unlike(found.files, wanted(experiment, base), whole=True):
            differs.setdefault(key, []).append(f"{sentence} as on {base!r}")
    for key, sentences in differs.items():
        more = f", and {len(sentences) - 1} more" if len(sentences) > 1 else ""
        print(f"note: {key} differ: {sentences[0]}{more}")
    kept = {key: value for key, value in said.items() if value} | ({"differs": list(differs)} if differs else {})
    text = yaml.safe_dump({"entries": {name: kept}}, sort_keys=False, allow_unicode=True)
    write_text(path, f"# Written by `miga import`; delete it and the row is gone. Its keys are yours to edit.\n{text}")
    print(f"{path}: the entry; `snakemake --cores all --config suite={suite}` makes its row")
    return 0
