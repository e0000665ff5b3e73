"""What pyproject.toml cannot say: a wheel brings along what runs suites, for `miga init` to lay down."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

HOME = ("Snakefile", "config", "environment.yml", "profiles", "workflow")  # as in miga/experiment/digest.py


class WithHome(build_py):
    def run(self):
        super().run()
        if self.editable_mode:  # the checkout has them
            return
        home = Path(self.build_lib, "miga", "experiment", "home")
        home.mkdir(parents=True, exist_ok=True)
        for name in HOME:
            if Path(name).is_dir():
                shutil.copytree(name, home / name, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
            else:
                shutil.copy(name, home / name)


setup(cmdclass={"build_py": WithHome})
