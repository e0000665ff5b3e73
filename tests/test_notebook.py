"""The notebook's own cells run, at reduced size, and its text points to what is there."""

import json

import matplotlib
import pytest

from miga.experiment.digest import ROOT

NOTEBOOK = json.loads((ROOT / "docs" / "first-steps.ipynb").read_text(encoding="utf-8"))
SIZE = "FRAMES, LEVELS = 48, 16"


def cells(kind):
    return ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == kind]


def test_its_cells_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    matplotlib.use("Agg")
    (_,) = [cell for cell in cells("code") if SIZE in cell]
    names: dict = {}
    for cell in cells("code"):
        exec(compile(cell.replace(SIZE, "FRAMES, LEVELS = 4, 8"), "first-steps.ipynb", "exec"), names)
    plt = names["plt"]
    assert len(plt.get_fignums()) == 2
    plt.close("all")
    assert {path.name for path in tmp_path.iterdir()} == {f"{m}.{e}" for m in names["videos"] for e in ("mp4", "json")}
    assert "zigzag" in capsys.readouterr().out


@pytest.mark.parametrize("page", ["python.md", "method.md", "results.md"])
def test_the_pages_that_it_names_are_there(page):
    assert page in "".join(cells("markdown")) and (ROOT / "docs" / page).is_file()


def test_it_was_run_from_top_to_bottom():
    counts = [cell["execution_count"] for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
    assert counts == list(range(1, len(counts) + 1))
    assert not any(output["output_type"] == "error" for cell in NOTEBOOK["cells"] for output in cell.get("outputs", ()))
