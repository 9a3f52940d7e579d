"""What a wheel of this tree carries, and that the files around the code agree with each other."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import wicket

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

CATALOG = {
    "github", "slack", "linear", "notion", "stripe", "vercel", "supabase", "hubspot", "airtable", "planetscale",
    "atlassian", "sentry", "cloudflare", "huggingface", "google", "prowler",
}  # fmt: skip

PINNED = re.compile(r"^([a-z0-9-]+)==(\S+)", re.MULTILINE)


def pins(lock: str) -> dict[str, str]:
    return dict(PINNED.findall((ROOT / "requirements" / lock).read_text(encoding="utf-8")))


def project_name(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0].lower().replace("_", "-")


@pytest.fixture(scope="module")
def wheel_files(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation",
         "--wheel-dir", folder, ROOT],
        check=True,
    )  # fmt: skip
    (built,) = folder.glob("wicket-*.whl")
    return set(zipfile.ZipFile(built).namelist())


@pytest.mark.slow
def test_the_wheel_carries_the_catalog_of_sixteen_services(wheel_files: set[str]) -> None:
    folder = "wicket/connectors/catalog/"
    assert {
        Path(name).stem for name in wheel_files if name.startswith(folder) and name.endswith(".toml")
    } == CATALOG


@pytest.mark.slow
def test_the_wheel_carries_types_migrations_and_licence(wheel_files: set[str]) -> None:
    assert "wicket/py.typed" in wheel_files
    assert "wicket/store/migrations/env.py" in wheel_files
    assert any(re.fullmatch(r"wicket/store/migrations/versions/0001_\w+\.py", name) for name in wheel_files)
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in wheel_files)


@pytest.mark.slow
def test_the_wheel_carries_nothing_but_the_package(wheel_files: set[str]) -> None:
    assert {name.split("/")[0].split("-")[0] for name in wheel_files} == {"wicket"}


def test_the_package_knows_its_version() -> None:
    assert wicket.__version__ == PROJECT["version"]


def test_every_requirement_of_the_project_is_locked() -> None:
    assert {project_name(r) for r in PROJECT["dependencies"]} <= pins("base.txt").keys()
    assert {project_name(r) for r in PROJECT["optional-dependencies"]["demo"]} <= pins("demo.txt").keys()


def test_the_locks_agree_with_each_other() -> None:
    assert pins("base.txt").items() <= pins("demo.txt").items() <= pins("dev.txt").items()


def test_the_demo_installs_no_development_dependency() -> None:
    assert pins("demo.txt").keys().isdisjoint({"pytest", "mypy", "ruff", "hypothesis", "import-linter", "uv"})


def test_every_pin_has_a_hash() -> None:
    for lock in ("base.txt", "demo.txt", "dev.txt"):
        text = (ROOT / "requirements" / lock).read_text(encoding="utf-8")
        blocks = re.split(r"\n(?=\S)", text.strip())
        assert [block.split("\n")[0] for block in blocks if "--hash=sha256:" not in block] == []
