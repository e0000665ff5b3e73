"""The command line under the name by which other people's scripts import it: `from miga.cli import main`."""

from miga.commands import main

__all__ = ["main"]
