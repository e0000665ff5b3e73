"""What the engine gives a method author by name is there, and costs nothing until it is asked for."""

import subprocess
import sys

import pytest

import miga.engine


@pytest.mark.parametrize("name", miga.engine.__all__)
def test_every_exported_name_is_the_one_of_its_module(name):
    module = next(module for module, names in miga.engine.EXPORTS.items() if name in names)
    assert getattr(miga.engine, name) is getattr(sys.modules[f"miga.engine.{module}"], name)
    assert name in dir(miga.engine)


def test_an_unknown_name_is_no_attribute():
    with pytest.raises(ImportError, match="cannot import name 'nonsense'"):
        from miga.engine import nonsense  # noqa: F401


def test_the_package_alone_imports_no_torch():
    probe = "import sys, miga.engine.abilities; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", probe]).returncode == 0
