"""What the documentation points to is there."""

import inspect
import json
import re
import runpy
from pathlib import Path

import pytest

from miga import models
from miga.commands.generate import generate
from miga.engine.method import METHODS
from miga.experiment.check import check
from miga.experiment.digest import ROOT
from miga.experiment.experiment import load_experiment
from tests.miga.tiny_models import tiny_unet

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text())
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not missing


PATH = re.compile(r"`((?:miga|eval|baselines|workflow|tests)/[\w/.-]+\.(?:py|smk))`")


@pytest.mark.parametrize(
    "page", [*PAGES, *sorted((ROOT / "baselines").glob("*/README.md"))], ids=lambda p: f"{p.parent.name}/{p.name}"
)
def test_files_that_a_page_names_exist(page):
    assert not [path for path in PATH.findall(page.read_text()) if not (ROOT / path).exists()]


def test_the_index_lists_every_page():
    index = (ROOT / "docs/README.md").read_text()
    assert [page.name for page in PAGES if f"]({page.name})" not in index] == ["README.md", "README.md"]


def blocks(page, language):
    """Blocks of code in a language, without the indentation of a list."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```", (ROOT / "docs" / page).read_text(), re.M | re.S)
    return [re.sub(rf"^{indent}", "", text, flags=re.M) for indent, text in found]


def test_the_suite_of_the_page_is_one(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(blocks("add-a-suite.md", "yaml")[0])
    experiment = load_experiment(str(path), ROOT)
    check(experiment)
    assert experiment.name == "mine" and "miga" in experiment.rows_of_all()


def test_the_model_directory_of_the_page_loads(tmp_path):
    index = tiny_unet(tmp_path / "tiny", num_levels=4) / "model_index.json"
    (block,) = blocks("add-a-base-model.md", "json")
    about = json.loads(f"{{{block}}}")
    about["_miga"]["options"] |= dict(height=16, width=16, window=4)
    index.write_text(json.dumps(json.loads(index.read_text()) | about))
    model = models.load(Path(index.parent))
    assert (model.name, model.solver.num_levels) == ("my-model", 12)


def test_options_of_the_commands_on_pages_exist():
    said = "\n".join(page.read_text() for page in PAGES)
    options = {option for line in re.findall(r"miga generate .*", said) for option in re.findall(r"--([a-z-]+)", line)}
    assert {"image", "video", "prompt"} <= options
    assert options <= {name.replace("_", "-") for name in inspect.signature(generate).parameters}


def test_the_map_of_modules_is_made_from_the_modules():
    maker = runpy.run_path(str(ROOT / "docs/modules.py"))
    assert maker["PAGE"].read_text() == maker["page"](maker["PAGE"].read_text()), "run `python docs/modules.py`"


def test_the_page_of_methods_is_made_from_their_cards():
    maker = runpy.run_path(str(ROOT / "docs/methods.py"))
    assert maker["PAGE"].read_text() == maker["page"](), "run `python docs/methods.py`"
    said = maker["README"].read_text()
    assert said == maker["readme"](said) and "| [MIGA](docs/methods.md#miga) | endless |" in said
    names = maker["own"](METHODS.names(), METHODS)
    assert all(METHODS.get(name).card.cost or METHODS.get(name).card.control for name in names)


def test_the_readme_is_read_in_five_minutes():
    said = (ROOT / "README.md").read_text()
    assert len(said.encode()) < 9000 and said.count("\n") < 130
