"""MLproject and the command line define the same commands and parameters.

`config` is the only command without an entry point. It only prints settings, and `mlflow run` would
create an empty run.
"""

import argparse
import shlex
import subprocess
import sys

import pytest
import yaml

import pipeline
from pipeline import cli
from pipeline.cli import COMMANDS, build_parser, parse
from pipeline.commands.arguments import annotation_paths, named_values, run_paths

DEFAULTS = {
    ("evaluate", "split"),
    ("evaluate", "verbose"),
    ("main", "verbose"),
    ("train", "verbose"),
    ("compare", "split"),
    ("extract", "engine"),
    ("predict", "units"),
    ("prepare", "allow_unlabelled"),
    ("prepare", "missing_streams"),
    ("prepare", "resample"),
    ("search", "engine"),
    ("summarize", "split"),
    ("visualize", "all"),
    ("visualize", "format"),
    ("visualize", "split"),
    ("visualize", "style"),
}
"""Parameters with a default in MLproject."""

NUMBERS = {"num_trials": "7", "num_workers": "2", "num_steps": "16", "timeout_minutes": "1.5"}
"""Numeric parameter -> valid value."""

NAMES = sorted(set(COMMANDS) - {"config"})


@pytest.fixture(scope="module")
def entry_points(repository):
    project = yaml.safe_load((repository / "MLproject").read_text(encoding="utf-8"))
    return project["entry_points"]


def options(name):
    """Return option name -> argparse action of a command."""
    (commands,) = (
        action
        for action in build_parser()._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    return {
        action.dest: action
        for action in commands.choices[name]._actions
        if not isinstance(action, argparse._HelpAction)
    }


def test_commands_and_entry_points_are_the_same(entry_points):
    assert sorted(entry_points) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_entry_point_and_command_have_the_same_options(entry_points, name):
    assert set(entry_points[name]["parameters"]) == set(options(name))


@pytest.mark.parametrize("name", NAMES)
def test_each_parameter_reaches_the_command(entry_points, name):
    declared = entry_points[name]["parameters"]
    given = {
        parameter: declared[parameter]["default"] or NUMBERS.get(parameter, f"value-of-{parameter}")
        for parameter in declared
    }
    module, package, flag, *argv = shlex.split(entry_points[name]["command"].format(**given))
    assert (module, package, flag) == ("python", "-m", "pipeline")
    arguments = parse(argv)
    assert arguments.command == name
    assert {parameter: str(getattr(arguments, parameter)) for parameter in declared} == given


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_parameter_means_not_given(entry_points, name):
    declared = entry_points[name]["parameters"]
    defaults = {parameter: f"'{declared[parameter]['default']}'" for parameter in declared}
    argv = shlex.split(entry_points[name]["command"].format(**defaults))[3:]
    assert vars(parse(argv)) == vars(parse([name]))


def test_types_and_defaults_of_parameters_in_mlproject(entry_points):
    parameters = {
        (name, parameter): declaration
        for name, entry_point in entry_points.items()
        for parameter, declaration in entry_point["parameters"].items()
    }
    assert {key for key, declaration in parameters.items() if declaration["default"]} == DEFAULTS
    # With other types, MLflow would check the values and create an empty run for an invalid value.
    assert {declaration["type"] for declaration in parameters.values()} == {"string"}


def test_undeclared_parameters_become_overrides():
    argv = ["train", "--config", "", "--training.learning_rate", "-1", "--description", ""]
    overrides = {
        "training.learning_rate": "-1",
        "description": "",
        "name": "a=b",
        "data.clips": "x",
    }
    assert parse([*argv, "--name=a=b", "--data.clips", "x"]).overrides == overrides


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["train", "--seed"], "--seed needs a value"),
        (["train", "seven"], "unexpected argument 'seven'"),
        (["fly"], "invalid choice: 'fly'"),
        ([], "COMMAND"),
        (["evaluate", "--split", "train"], "invalid choice: 'train'"),
        (["trian"], "invalid choice: 'trian'; did you mean train?"),
        (["evaluate", "--split", "validaton"], "did you mean validation?"),
        (["visualize", "--style", "papers"], "did you mean paper?"),
        (["sync", "--training.num_epochs", "2"], "sync has no option --training.num_epochs"),
        (["train", "--feature_dir", "x"], "no option --feature_dir; did you mean --features_dir"),
        (["train", "--confg", "x"], "did you mean --config?"),
        (["train", "--con", "x"], "did you mean --config?"),
        (["train", "--rundir", "x"], "did you mean --run_dir?"),
        (["sync", "--run_dirs", "x"], "sync has no option --run_dirs; did you mean --run_dir?"),
        (["train", "run_dir=x"], "unexpected argument 'run_dir=x'; did you mean --run_dir?"),
        (["train", "-run_dir", "x"], "unexpected argument '-run_dir'; did you mean --run_dir?"),
        (["train", "\u2013\u2013config", "x"], "did you mean --config?"),
        (["extract", "--videos_dir", "my", "videos"], "put a value that has spaces in quotes"),
    ],
)
def test_an_invalid_command_line_is_an_error_in_one_line(argv, words, capsys):
    with pytest.raises(SystemExit) as ended:
        parse(argv)
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert "--help" in line


@pytest.mark.parametrize("name", ["run_name", "experiment", "streams", "epochs", "dropout"])
def test_the_last_part_of_a_setting_is_not_taken_for_a_misspelt_option(name):
    assert parse(["train", f"--{name}", "x"]).overrides == {name: "x"}


@pytest.mark.parametrize(
    ("command", "option"),
    [("train", "run_dir"), ("train", "features_dir"), ("train", "labels"), ("predict", "output"),
     ("prepare", "annotations"), ("prepare", "clips")],
)  # fmt: skip
def test_a_tilde_is_the_home_directory(command, option, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    arguments = parse([command, f"--{option}=~/x"])
    value = getattr(arguments, option)
    given = annotation_paths(value) if option in ("annotations", "labels") else [value]
    assert list(map(str, given)) == [str(tmp_path / "x")]
    assert str(parse(["train", "--run_dir", "~nobody-here/x"]).run_dir) == "~nobody-here/x"


def test_annotations_are_separated_by_commas_or_spaces_or_repeated(tmp_path):
    comma = tmp_path / "raw, 2016.csv"
    comma.touch()
    argv = ["prepare", "--annotations", "a.csv,b.csv", "c.csv", "--annotations", str(comma)]
    paths = annotation_paths(parse(argv).annotations)
    assert list(map(str, paths)) == ["a.csv", "b.csv", "c.csv", str(comma)]
    many = ",".join(f"annotations-{number:03d}.csv" for number in range(300))
    assert len(annotation_paths(many)) == 300


@pytest.mark.parametrize(
    "argv",
    [
        ["--run_dir", "a", "b", "c"],
        ["--run_dir", "a b c"],
        ["--run_dir", "a,b, c"],
        ["--run_dir", "a", "--run_dir", "b c", ""],
    ],
)
def test_run_directories_are_separated_by_spaces_or_commas_or_repeated(argv):
    paths = run_paths(parse(["compare", *argv]).run_dir)
    assert list(map(str, paths)) == ["a", "b", "c"]


def test_an_existing_run_directory_may_have_spaces_in_its_name(tmp_path):
    run = tmp_path / "my run, 2026"
    run.mkdir()
    assert run_paths(parse(["compare", "--run_dir", str(run), "b"]).run_dir)[0] == run


@pytest.mark.parametrize(
    "argv",
    [
        ["--stream", "static=a;x", "dynamic=b"],
        ["--stream", "static=a;x", "--stream", "dynamic=b"],
        ["--stream", "static=a;x;dynamic=b"],
    ],
)
def test_named_values_are_separated_by_semicolons_or_spaces_or_repeated(argv):
    given = parse(["prepare", *argv]).stream
    assert named_values(given, "stream") == {"static": "a;x", "dynamic": "b"}


def test_the_help_has_one_line_per_command_and_works_without_docstrings(repository, capsys):
    command = [sys.executable, "-OO", "-m", "pipeline", "--help"]
    shown = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True)
    assert "train" in shown.stdout
    with pytest.raises(SystemExit):
        parse(["--help"])
    shown = " ".join(capsys.readouterr().out.split())
    for name, module in COMMANDS.items():
        assert f"{name} {(module.__doc__ or '').splitlines()[0]}" in shown


def test_the_version_is_that_of_the_package(capsys):
    with pytest.raises(SystemExit) as ended:
        parse(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"ocean-pipeline {pipeline.__version__}\n"


def test_the_installed_script_is_the_command_line(repository):
    import tomllib

    settings = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))
    assert settings["project"]["scripts"] == {"ocean-pipeline": f"{cli.__name__}:main"}
