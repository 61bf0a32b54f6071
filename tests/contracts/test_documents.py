"""The commands, settings and names that the documents mention exist."""

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
    """Path -> text of each document with commands."""
    paths = [
        *repository.glob("*.md"),
        *repository.glob("docs/*.md"),
        *repository.glob("experiments/**/*.md"),
        *repository.glob("experiments/**/*.yaml"),
    ]
    return {path: path.read_text(encoding="utf-8") for path in paths}


@pytest.fixture(scope="module")
def commands(documents):
    """Place and words of each command in the documents."""
    return [
        (f"{path.name}: {line}", shlex.split(line, comments=True))
        for path, text in documents.items()
        for line in COMMAND.findall(text)
    ]


def load_settings(command, overrides):
    load = load_extraction_config if command == "extract" else load_config
    load(None, overrides)


def started(commands, *words):
    number = len(words)
    return [(where, argv[number:]) for where, argv in commands if argv[:number] == [*words]]


def test_the_readme_is_short_and_shows_commands(repository, commands):
    readme = (repository / "README.md").read_text(encoding="utf-8")
    assert len(readme.splitlines()) <= 150
    assert len(COMMAND.findall(readme)) >= 8
    for words in (("python", "-m", "pipeline"), ("mlflow", "run"), ("make",)):
        assert started(commands, *words)


def test_each_command_line_is_valid(commands):
    for where, argv in started(commands, "python", "-m", "pipeline"):
        if argv[0] not in COMMANDS:
            assert argv[0].startswith("-"), where
            continue
        arguments = parse(argv)
        load_settings(arguments.command, arguments.overrides)


def test_each_mlflow_command_has_a_valid_entry_point_and_parameters(commands, repository):
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


def test_each_make_target_exists(commands, repository):
    makefile = (repository / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z_-]+):", makefile, flags=re.MULTILINE))
    for where, argv in started(commands, "make"):
        assert argv[0] in targets, where


def test_each_link_to_a_file_is_valid(documents):
    for path, text in documents.items():
        for target in re.findall(r"\]\((?!https?://)([^)#]+)", text):
            assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_each_named_setting_exists(documents):
    # `tags.state` is part of a filter of MLflow.
    named = {
        name
        for text in documents.values()
        for name in re.findall(
            r"(?:`|--|-P )(?!tags\.)((?:[a-z]+\.)+[a-z_]+)(?:: |=| )[^`]*`", text
        )
    }
    assert named
    sections = dataclasses.asdict(ExtractionConfig())
    extraction = {
        f"{name}.{key}"
        for name, values in sections.items()
        if isinstance(values, dict)
        for key in values
    }
    known = {*flatten(load_config())} | extraction
    assert {name for name in named if name not in known} == set()


def test_the_python_names_in_the_documents_exist(documents):
    import pipeline

    blocks = [
        block
        for path, text in documents.items()
        if path.name != "CONTRIBUTING.md"
        for block in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    ]
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


def test_the_documents_name_all_commands_and_feature_files(repository):
    commands = (repository / "docs" / "commands.md").read_text(encoding="utf-8")
    assert [name for name in COMMANDS if f"| `{name}` |" not in commands] == []
    data = (repository / "docs" / "data.md").read_text(encoding="utf-8")
    files = ["static.npy", "dynamic.npy", "labels.npy", "clips.csv"]
    assert len(files) == len(FEATURE_FILES)
    assert [name for name in files if name not in data] == []


def test_the_python_reference_has_every_public_name(repository):
    import pipeline

    reference = (repository / "docs" / "api.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^::: pipeline\.(\w+)$", reference, flags=re.MULTILINE))
    assert documented == set(pipeline.__all__) - {"__version__"}


def test_the_example_of_a_format_is_a_module_of_the_project(repository):
    text = (repository / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.+?)```", text, flags=re.DOTALL)
    module = repository / "pipeline" / "data" / "readers" / "blendshapes.py"
    assert module.read_text(encoding="utf-8").endswith(example)


def test_the_citation_has_the_name_and_the_version_of_the_package(repository):
    import pipeline

    citation = yaml.safe_load((repository / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= set(citation)
    assert (citation["title"], citation["version"]) == ("ocean-pipeline", pipeline.__version__)
