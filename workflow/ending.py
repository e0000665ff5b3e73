"""The last lines of a run, `python workflow/ending.py results/<suite>`: its gist, where the page is, how to open it."""

import os
import shutil
import sys
from pathlib import Path


def opened(page: Path) -> str:
    """How to look at a page on this machine: in its browser where it has a screen, else through a port."""
    opener = "open" if sys.platform == "darwin" else "xdg-open"
    if shutil.which(opener) and (opener == "open" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return f"{opener} {page}"
    folder = page.parents[1]
    return f"python3 -m http.server --directory {folder} 8000, then http://localhost:8000/{page.relative_to(folder)}"


def main() -> None:
    page = Path(sys.argv[1], "report/index.html")
    said = page.with_name("summary.txt").read_text(encoding="utf-8").splitlines()
    if sys.stdout.isatty():
        said[0] = f"\033[1m{said[0]}\033[0m"
    print(*said, f"Page: {page}", f"To open it: {opened(page)}", sep="\n")


if __name__ == "__main__":
    main()
