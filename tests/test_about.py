"""What the project says about itself agrees with itself."""

import re
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

import miga

ROOT = Path(__file__).parents[1]
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


def test_the_version_stands_in_one_place():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"]
    assert miga.__version__ == cited == version("miga-bench")
    assert f"## {miga.__version__}" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("form", FORMS, ids=lambda path: path.stem)
def test_issue_forms_have_what_a_form_needs(form):
    read = yaml.safe_load(form.read_text())
    assert {"name", "description", "body"} <= read.keys()
    assert all("label" in part["attributes"] for part in read["body"])


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text()):
        assert (ROOT / target).exists(), target
