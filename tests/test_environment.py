"""The lock pins everything and nothing else, conda users get the same pins, and the lock fits this environment."""

import os
import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from miga.experiment.suite import Config

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
    assert pip == [*LOCK, "-e ."]


def test_rules_run_in_an_environment_with_the_lock_and_the_project():
    """Snakemake copies the file to .snakemake/conda, from where its paths must lead to the same files."""
    file = ROOT / "workflow/envs/miga.yml"
    (pip,) = (part["pip"] for part in yaml.safe_load(file.read_text())["dependencies"] if isinstance(part, dict))
    paths = [line.split()[1] for line in pip]
    for folder in (file.parent, ROOT / ".snakemake/conda"):
        assert [Path(os.path.normpath(folder / path)) for path in paths] == [ROOT / "requirements.lock", ROOT]
    rules = "".join(path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk"))
    assert set(re.findall(r"conda:\n +\"(.+)\"", rules)) == {"../envs/miga.yml"}


def test_rules_run_in_the_image_that_the_config_names():
    """And the image, built as everywhere, has first in its path what they run with."""
    rules = (ROOT / "workflow/rules/common.smk").read_text()
    assert "\n\ncontainer: CONFIG.image\n" in rules and "image" in Config.model_fields
    image = (ROOT / "Dockerfile").read_text()
    miga, vbench = re.search(r"^RUN \.ci/install (\S+) (\S+)$", image, re.M).groups()
    assert f"ENV PATH={miga}/bin:$PATH VBENCH_PYTHON={vbench}/bin/python" in image


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
