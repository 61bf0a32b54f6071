"""The wheel works without the repository, also beside a user's file `pipeline.py`."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.end_to_end.conftest import clean_environment

pytestmark = pytest.mark.slow

SOURCES = ("LICENSE", "README.md", "experiments", "pipeline", "pyproject.toml", "setup.py")

SMALL = (
    *("--data.synthetic.num_clips", "240", "--data.synthetic.num_steps", "4"),
    *("--training.num_epochs", "3", "--training.batch_size", "32", "--model.fusion_dim", "16"),
    *("--evaluation.num_resamples", "100"),
)


def call(*words, cwd, environment=None):
    """Run a program in a clean environment without PYTHONPATH, and return its standard output."""
    variables = clean_environment(cwd) | (environment or {})
    del variables["PYTHONPATH"]
    finished = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env=variables,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


@pytest.fixture(scope="module")
def wheel(repository, tmp_path_factory):
    """The wheel, built without network from a copy of the sources."""
    directory = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        if (repository / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(repository / name, directory / "source" / name, ignore=ignored)
        else:
            (directory / "source").mkdir(exist_ok=True)
            shutil.copy(repository / name, directory / "source")
    options = ("--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", directory)
    call(sys.executable, "-m", "pip", "wheel", *options, "./source", cwd=directory)
    (path,) = directory.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def binaries(wheel, tmp_path_factory):
    """The programs of an environment that contains the wheel.

    The dependencies are those of the environment of the tests, because they take more than 1 GB.
    The path to them is in a `.pth` file. Python does not read the `.pth` files behind such a path,
    so an editable installation of the repository has no effect.
    """
    environment = tmp_path_factory.mktemp("environment")
    call(sys.executable, "-m", "venv", "--without-pip", environment, cwd=environment)
    folder = environment / ("Scripts" if os.name == "nt" else "bin")
    python = folder / Path(sys.executable).name
    pip = (sys.executable, "-m", "pip", "--python", python)
    call(*pip, "install", "--no-index", "--no-deps", wheel, cwd=environment)
    purelib = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site_packages = Path(call(python, "-c", purelib, cwd=environment).strip())
    paths = dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))
    (site_packages / "dependencies.pth").write_text("\n".join(paths), encoding="utf-8")
    return folder


def test_the_installed_wheel_passes_verify_in_an_empty_directory(binaries, tmp_path):
    call(binaries / "ocean-pipeline", "verify", *SMALL, cwd=tmp_path)
    parts = json.loads((tmp_path / "test_results.json").read_text(encoding="utf-8"))
    parts.pop("files")
    assert set(parts.values()) == {"passed"}
    assert [path.name for path in tmp_path.iterdir()] == ["test_results.json"]


def test_the_wheel_contains_every_experiment_file(binaries, repository, tmp_path):
    code = "import pipeline, pathlib; print(pathlib.Path(pipeline.__file__).parent)"
    package = Path(call(binaries / "python", "-c", code, cwd=tmp_path).strip())
    assert repository not in package.parents
    expected = {path.relative_to(repository) for path in repository.glob("experiments/**/*.yaml")}
    found = {path.relative_to(package) for path in package.glob("experiments/**/*.yaml")}
    assert len(expected) > 10
    assert found == expected


def test_the_program_works_beside_a_file_named_pipeline(binaries, tmp_path):
    (tmp_path / "pipeline.py").write_text("raise SystemExit('the wrong module')\n")
    output = call(binaries / "ocean-pipeline", "train", "--help", cwd=tmp_path)
    assert "--features_dir" in output
