"""The digest of a module covers what it imports from this project, as far as it runs, and nothing else."""

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
    forget()
    yield tmp_path
    forget()


def forget():
    for cached in (digest._home, digest.imports, digest.tree, digest._digest):
        cached.cache_clear()


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
    (project / changed).write_text((project / changed).read_text() + "edited = True\n")
    forget()
    assert (digest.code_digest(module) != before) == differs


def test_foreign_modules_are_no_error():
    assert digest.code_digest("somebody.elses.method") == digest.code_digest()


@pytest.mark.parametrize(
    ("before", "after", "shown", "differs"),
    [
        ("z = 1\n", "z = 1  # why\n", True, False),
        ("z = 1\n", '"""What z is."""\n\nz = 1\n', True, False),
        ("def f(x):\n    return x\n", "def f(x: int) -> int:\n    return x\n", True, False),
        ("z: int = 1\n", "z: float = 1\n", True, False),
        ("z = Field(1, description='a')\n", "z = Field(1, description='b')\n", False, False),
        ("z = Metric('m', label='a')\n", "z = Metric('m', label='b')\n", False, False),
        ("z = Metric('m', label='a')\n", "z = Metric('m', label='b')\n", True, True),  # pages show it
        ("z = Metric('m', formula=f)\n", "z = Metric('m', formula=g)\n", False, True),
        ("z = 1\n", "z = 2\n", False, True),
        ("f('a')\n", "f('b')\n", False, True),
    ],
)
def test_what_no_program_can_notice_changes_nothing(project, before, after, shown, differs):
    path = project / "miga/d.py"
    path.write_text(before)
    old = digest.tree(path, shown)
    forget()
    path.write_text(after)
    assert (digest.tree(path, shown) != old) == differs


def test_frames_depend_on_the_engine_but_on_no_command_schema_or_card():
    deciding = digest.closure([*digest.FRAMES, "baselines.fifo_diffusion", "miga.models.wan"], digest.NOT_FRAMES)
    assert {"miga.engine.solvers", "miga.engine.queue", "miga.experiment.video", "baselines.fifo_diffusion"} <= set(
        deciding
    )
    assert not any(
        name.startswith(("miga.commands", "eval", "miga.experiment.suite", "baselines.free")) for name in deciding
    )
