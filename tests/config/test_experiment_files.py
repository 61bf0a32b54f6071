"""Experiment files are found by name, in a clone and in an installed package."""

import shutil
from pathlib import Path

import pytest

from pipeline.config import experiment_files
from pipeline.config.experiment_files import (
    experiment_names,
    experiments_dir,
    find_experiment_file,
)
from pipeline.core.errors import ConfigError


@pytest.fixture(params=["clone", "installed package"])
def experiments(request, tmp_path, monkeypatch, repository):
    """A copy of the experiment files in one of the two layouts, and an empty working directory."""
    root = tmp_path / "copy"
    package = root / "pipeline"
    (package / "config").mkdir(parents=True)
    monkeypatch.setattr(experiment_files, "__file__", str(package / "config" / "module.py"))
    directory = (root if request.param == "clone" else package) / "experiments"
    shutil.copytree(repository / "experiments", directory)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return directory


@pytest.mark.parametrize(
    ("name", "kind", "file"),
    [
        ("first_impressions", "experiment", "first_impressions.yaml"),
        ("first_impressions.yaml", "experiment", "first_impressions.yaml"),
        ("ablations/demo_late", "experiment", "ablations/demo_late.yaml"),
        ("cross_attention", "search", "search/cross_attention.yaml"),
        ("resnet50", "extraction", "extraction/resnet50.yaml"),
    ],
)
def test_a_name_is_found_with_and_without_its_ending(experiments, name, kind, file):
    assert find_experiment_file(Path(name), kind) == experiments / file


def test_the_directory_of_the_experiments_belongs_to_the_package(experiments):
    assert experiments_dir() == experiments


def test_an_existing_file_has_priority_over_a_name(experiments):
    Path("demo.yaml").touch()
    assert find_experiment_file(Path("demo.yaml")) == Path("demo.yaml")
    Path("demo").mkdir()
    assert find_experiment_file(Path("demo")) == experiments / "demo.yaml"


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        (
            "first_impresions",
            "experiment",
            ("mean 'first_impressions'?", "demo, first_imp"),
        ),
        ("experiments/demo.yml", "experiment", ("Did you mean 'demo'?", "ablations/demo_late")),
        ("resnet", "extraction", ("Did you mean 'resnet50'?", "default, resnet50.")),
        ("zzz", "search", ("zzz: there is no such", "cross_attention, demo.")),
    ],
)
def test_the_error_for_an_unknown_name_lists_the_names(experiments, name, kind, words):
    with pytest.raises(ConfigError) as error:
        find_experiment_file(Path(name), kind)
    assert all(word in str(error.value) for word in words)


def test_the_names_of_experiments_exclude_spaces_and_extraction_files(experiments):
    names = experiment_names("experiment")
    assert names[:2] == ["demo", "first_impressions"]
    assert not any(name.startswith(("search", "extraction")) for name in names)
