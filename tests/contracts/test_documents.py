"""What the documents tell a reader to type exists."""

import ast
import dataclasses
import re
import shlex

import pytest
import yaml

from pipeline.cli import COMMANDS, parse
from pipeline.commands.arguments import FEATURE_FILES
from pipeline.config.extraction import ExtractionConfig
from pipeline.config.loading import flatten, load_config, load_extraction_config

COMMAND = re.compile(r"(?:python -m pipeline|mlflow run|(?<=`)make|(?<=\$ )make) [^`\n()]*")


@pytest.fixture(scope="module")
def documents(repository):
    """The text of each document that shows commands; README.md must be there."""
    paths = [
        repository / "README.md",
        *repository.glob("*.md"),
        *repository.glob("experiments/**/*.md"),
        *repository.glob("experiments/**/*.yaml"),
    ]
    return {path: path.read_text(encoding="utf-8") for path in paths}


@pytest.fixture(scope="module")
def commands(documents):
    """Each command that a document shows, with where it stands."""
    return [
        (f"{path.name}: {line}", shlex.split(line, comments=True))
        for path, text in documents.items()
        for line in COMMAND.findall(text)
    ]


def load_settings(command, overrides):
    """Check overrides as the command does."""
    load = load_extraction_config if command == "extract" else load_config
    load(None, overrides)


def started(commands, *words):
    number = len(words)
    return [(where, argv[number:]) for where, argv in commands if argv[:number] == [*words]]


def test_the_readme_shows_commands(repository, commands):
    readme = (repository / "README.md").read_text(encoding="utf-8")
    assert len(COMMAND.findall(readme)) >= 8
    for words in (("python", "-m", "pipeline"), ("mlflow", "run"), ("make",)):
        assert started(commands, *words)


def test_every_command_line_parses(commands):
    for where, argv in started(commands, "python", "-m", "pipeline"):
        if argv[0] not in COMMANDS:
            assert argv[0].startswith("-"), where
            continue
        arguments = parse(argv)
        load_settings(arguments.command, arguments.overrides)


def test_every_project_command_names_an_entry_point_and_its_parameters(commands, repository):
    entry_points = yaml.safe_load((repository / "MLproject").read_text())["entry_points"]
    for where, (uri, *options) in started(commands, "mlflow", "run"):
        flags = options[::2]
        values = list(zip(flags, options[1::2], strict=True))
        assert uri == "."
        assert set(flags) <= {"-e", "--env-manager", "--experiment-name", "-P"}, where
        name = dict(values).get("-e", "main")
        assert name in entry_points, where
        given = dict(value.split("=", 1) for flag, value in values if flag == "-P")
        undeclared = {
            parameter: value
            for parameter, value in given.items()
            if parameter not in entry_points[name]["parameters"]
        }
        assert COMMANDS[name].TAKES_OVERRIDES or not undeclared, where
        load_settings(name, undeclared)


def test_every_make_target_exists(commands, repository):
    makefile = (repository / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z_-]+):", makefile, flags=re.MULTILINE))
    for where, argv in started(commands, "make"):
        assert argv[0] in targets, where


def test_every_link_to_a_file_leads_to_one(documents):
    for path, text in documents.items():
        for target in re.findall(r"\]\((?!https?://)([^)#]+)", text):
            assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_every_setting_that_is_named_exists(documents):
    named = {
        name
        for text in documents.values()
        for name in re.findall(r"(?:`|--|-P )((?:[a-z]+\.)+[a-z_]+)(?:: |=| )[^`]*`", text)
    }
    assert named
    known = {*flatten(load_config()), *extraction_settings()}
    assert {name for name in named if name not in known} == set()


def extraction_settings():
    for section in dataclasses.fields(ExtractionConfig):
        values = getattr(ExtractionConfig(), section.name)
        if dataclasses.is_dataclass(values):
            yield from (f"{section.name}.{field.name}" for field in dataclasses.fields(values))


def test_the_python_of_the_readme_uses_names_that_the_package_has(repository):
    import pipeline

    readme = (repository / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL)
    assert blocks
    imported = {
        alias.name
        for block in blocks
        for node in ast.walk(ast.parse(block))
        if isinstance(node, ast.ImportFrom) and node.module == "pipeline"
        for alias in node.names
    }
    assert imported
    assert imported <= set(pipeline.__all__)


def test_the_readme_names_every_entry_point_and_every_feature_file(repository):
    readme = (repository / "README.md").read_text(encoding="utf-8")
    assert [name for name in COMMANDS if f"| `{name}` |" not in readme] == []
    files = ["static.npy", "dynamic.npy", "labels.npy", "clips.csv"]
    assert len(files) == len(FEATURE_FILES)
    assert [name for name in files if name not in readme] == []
