"""Chromium: where it is, and how it comes onto a fresh machine.

    python -m tests.browser.installed

It is the distribution's own: signed, patched with the system, and with the libraries that it needs.
"""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
NAMED: Final = "WICKET_CHROMIUM"
NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PACKAGES: Final = ("chromium", "fonts-dejavu-core")
"""The font too: without one, letters are boxes that hide what is wrong with them."""
ENOUGH: Final = f"install Chromium, or name one with {NAMED}=/path/to/chromium"
APT: Final[tuple[tuple[str, ...], ...]] = (
    ("apt-get", "update", "--quiet"),
    ("apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *PACKAGES),
)


def find_chromium() -> str | None:
    """The one that is named, or the first of the path."""
    named = os.environ.get(NAMED)
    return named or next((found for name in NAMES if (found := shutil.which(name))), None)


def get_chromium() -> str:
    """Raise LookupError saying what to do when there is none."""
    if (found := find_chromium()) is None:
        raise LookupError(f"the browser tests need Chromium: {_remedy()}")
    if shutil.which(found) is None:
        raise LookupError(f"{NAMED} names `{found}`, which is no program: {ENOUGH}")
    return found


def _remedy() -> str:
    if _is_debian():
        return f"run `apt-get install --no-install-recommends {' '.join(PACKAGES)}` as root, or {ENOUGH}"
    return ENOUGH


def _is_debian() -> bool:
    """Whether this system's packages are Debian's: what others call `chromium` may be something else."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return False
    return release.get("ID") == "debian" and shutil.which("apt-get") is not None


def install() -> None:
    """Install what is missing, where that is for us to do: as root on Debian. Raises LookupError elsewhere."""
    if find_chromium() is None and _is_debian() and os.geteuid() == 0:
        for command in APT:
            subprocess.run(
                command,
                check=True,
                stdout=subprocess.DEVNULL,
                env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            )
    get_chromium()


if __name__ == "__main__":
    try:
        install()
    except (LookupError, subprocess.CalledProcessError) as error:
        sys.exit(str(error))
