"""The wheel, built offline and installed into a folder of its own, does outside the checkout what the checkout does."""

import os
import shutil
import subprocess
import sys

import pytest

import miga
from miga.experiment.digest import HOME_FILES, ROOT

PACKAGES = ("miga", "baselines", "eval", "snakemake_logger_plugin_miga")
BUILT_FROM = ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE", *PACKAGES, *HOME_FILES)
JUNK = shutil.ignore_patterns("__pycache__", "*.egg-info")


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder that the wheel was installed into."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in BUILT_FROM:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=JUNK)
        else:
            shutil.copy(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-deps", "--no-index"]
    subprocess.run([*pip, "wheel", *offline, "--no-build-isolation", "-w", folder, source], check=True)
    (wheel,) = folder.glob(f"miga_bench-{miga.__version__}-*.whl")
    subprocess.run([*pip, "install", *offline, "--no-compile", "--target", folder / "site", wheel], check=True)
    return folder / "site"


def run(installed, cwd, *words):
    done = subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout, done.stderr


def test_it_brings_all_files(installed):
    source, home = installed.with_name("source"), installed / "miga" / "experiment" / "home"
    wanted = [(installed, name) for name in PACKAGES] + [(home, name) for name in HOME_FILES]
    files = [
        (place, path.relative_to(source))
        for place, name in wanted
        for path in (source / name, *(source / name).rglob("*"))
        if path.is_file()
    ]
    assert len(files) > 200 and not [name for place, name in files if not (place / name).is_file()]


def test_a_video_in_an_empty_folder(installed, tmp_path):
    words = "generate --method static --model-param num_levels=4 guidance_scale=1 --frames 2"
    code, out, err = run(installed, tmp_path, "-m", "miga", *words.split(), "--prompt", "a red circle")
    assert code == 0 and "2 frames" in out, err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["video.json", "video.mp4"]


def test_it_knows_the_suites_and_itself(installed, tmp_path):
    code, out, err = run(
        installed,
        tmp_path,
        "-c",
        "import miga.experiment.digest as d; from miga.experiment.experiment import home, load_experiment as load;"
        "print(d.ROOT, home(), load('sprites', home()).name, d.code_digest('workflow/scripts/tables.py'))",
    )
    assert code == 0, err
    assert out.split()[:3] == [str(installed), str(installed / "miga/experiment/home"), "sprites"]


def test_videos_are_not_imported_into_the_package(installed, tmp_path):
    suites = installed / "miga/experiment/home/config/suites"
    before = sorted(suites.rglob("*"))
    code, _, err = run(installed, tmp_path, "-m", "miga", "import", ".", "--suite", "sprites", "--as", "mine")
    assert code == 2 and "which stays as it is: `miga init FOLDER`" in err and sorted(suites.rglob("*")) == before


def test_a_suite_is_laid_down_and_planned(installed, tmp_path):
    assert run(installed, tmp_path, "-m", "miga", "init", "mine")[0] == 0
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == sorted(HOME_FILES)
    again = run(installed, tmp_path, "-m", "miga", "init", "mine")
    assert again[0] == 2 and "mine/Snakefile is there already" in again[2]
    words = ["-m", "snakemake", "-n", "--cores", "1", "--config", "suite=sprites", "limit=1"]
    code, out, err = run(installed, tmp_path / "mine", *words)
    assert code == 0 and "generate" in out, err
