"""The lock pins everything and nothing else, conda users get the same pins, and the lock fits this environment."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
LOCK = (ROOT / "requirements.lock").read_text().splitlines()


def test_every_line_is_one_exact_pin():
    for line in LOCK:
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+(; platform_machine == 'x86_64')?", line), line


def test_torch_has_no_local_version():
    assert "torch==2.13.0" in LOCK
    assert not any(line.startswith("torchvision") for line in LOCK)


def test_conda_users_get_the_same_pins():
    dependencies = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    (pip,) = (part["pip"] for part in dependencies if isinstance(part, dict))
    assert pip == LOCK


def test_the_lock_holds_what_the_project_asks_for():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = {canonicalize_name(r.name): r for r in map(Requirement, LOCK)}
    for line in [*project["dependencies"], *project["optional-dependencies"]["dev"]]:
        wanted = Requirement(line)
        (pin,) = pins[canonicalize_name(wanted.name)].specifier
        assert wanted.specifier.contains(pin.version), line


@pytest.mark.parametrize(
    "name", ["torch", "diffusers", "transformers", "snakemake", "numpy", "pandas", "imageio-ffmpeg"]
)
def test_what_runs_here_is_what_is_locked(name):
    assert f"{name}=={version(name).split('+')[0]}" in LOCK
