"""What the documentation points to is there."""

import re

import pytest

from miga.digest import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text())
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not missing


def test_the_index_lists_every_page():
    index = (ROOT / "docs/README.md").read_text()
    assert [page.name for page in PAGES if f"]({page.name})" not in index] == ["README.md", "README.md"]


@pytest.mark.parametrize("heading, folder", [("## The engine", "miga"), ("## Scores", "eval")])
def test_the_map_names_every_module_and_no_other(heading, folder):
    section = (ROOT / "docs/modules.md").read_text().split(heading)[1].split("\n## ")[0]
    cells = [line.split(" | ")[0] for line in section.splitlines() if line.startswith("|")]
    named = set(re.findall(r"`([\w/]+(?:\.py|/))`", " ".join(cells)))
    found = {path.name for path in (ROOT / folder).glob("*.py")} | {
        f"{path.name}/" for path in (ROOT / folder).iterdir() if (path / "__init__.py").is_file()
    }
    if folder == "miga":
        found |= {f"models/{path.name}" for path in (ROOT / "miga/models").glob("*.py")} - {"models/__init__.py"}
    assert named == found - {"__init__.py", "__main__.py", "models/", *({"cli.py"} if folder == "eval" else ())}
