"""The digest of a module covers what it imports from this project, and nothing else."""

import pytest

from miga.experiment import digest


@pytest.fixture
def project(tmp_path, monkeypatch):
    files = {
        "miga/__init__.py": "",
        "miga/a.py": "import torch\nfrom miga import b\n",
        "miga/b.py": "def f():\n    from baselines.x.y import z\n",
        "miga/c.py": "from . import d\n",
        "miga/d.py": "",
        "baselines/__init__.py": "",
        "baselines/x/__init__.py": "from .y import z\n",
        "baselines/x/y.py": "z = 1\n",
        "baselines/other.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(digest, "ROOT", tmp_path)
    digest.imports.cache_clear()
    yield tmp_path
    digest.imports.cache_clear()


@pytest.mark.parametrize(
    ("module", "changed", "differs"),
    [
        ("miga.a", "miga/a.py", True),
        ("miga.a", "miga/b.py", True),
        ("miga.a", "baselines/x/y.py", True),  # imported inside a function
        ("miga.a", "baselines/x/__init__.py", True),  # a package above a module runs too
        ("miga.a", "miga/c.py", False),
        ("miga.a", "baselines/other.py", False),
        ("miga.c", "miga/d.py", True),  # relative
        ("miga.c", "miga/a.py", False),
    ],
)
def test_an_edit_is_seen_where_it_matters(project, module, changed, differs):
    before = digest.code_digest(module)
    (project / changed).write_text((project / changed).read_text() + "# edited\n")
    digest.imports.cache_clear()
    assert (digest.code_digest(module) != before) == differs


def test_foreign_modules_are_no_error():
    assert digest.code_digest("somebody.elses.method") == digest.code_digest()


def test_a_method_depends_on_the_engine_but_not_on_the_command_line():
    files = {path.name for path in _closure("miga.experiment.run")}
    assert {"run.py", "video.py", "noise.py"} <= files
    assert "cli.py" not in files


def _closure(module):
    found, waiting = set(), digest.paths_of(module)
    while waiting:
        if (path := waiting.pop()) not in found:
            found.add(path)
            waiting += digest.imports(path)
    return found
