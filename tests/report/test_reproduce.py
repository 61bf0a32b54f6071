"""A run can be made again from what it recorded."""

import dataclasses

import pytest

from pipeline.cli import parse
from pipeline.report.reproduce import recipes

CHECKOUT = "git checkout 0123456789abcdef0123456789abcdef01234567"


def test_the_command_is_told_as_a_person_types_it(records_with):
    started, _ = recipes(records_with())

    assert started.lines == (
        CHECKOUT,
        "python -m pipeline train --config experiments/example.yaml",
    )


def test_the_runs_own_configuration_is_run_again(records_with):
    _, own = recipes(records_with())

    assert own.lines == (CHECKOUT, "python -m pipeline train --config a-run/config.yaml")


def test_the_configuration_is_named_where_it_is(records_with):
    records = dataclasses.replace(records_with(), directory="runs/a run")

    _, own = recipes(records)

    assert own.lines[-1] == "python -m pipeline train --config 'runs/a run/config.yaml'"


def test_the_command_line_accepts_the_recipe(records_with):
    _, own = recipes(records_with())

    words = own.lines[-1].split()[3:]
    assert str(parse(words).config) == "a-run/config.yaml"


@pytest.mark.parametrize("command", ["ocean-pipeline train", "notebook.py --seed 1"])
def test_another_program_is_left_as_it_was(records_with, command):
    started, _ = recipes(records_with(environment={"command": command}))

    assert started.lines[-1] == command


def test_without_a_commit_there_is_nothing_to_check_out(records_with):
    started, _ = recipes(records_with(environment={"git": {}}))

    assert len(started.lines) == 1


def test_an_unknown_environment_has_no_recipe(records_with):
    assert recipes(records_with(environment=None)) == ()
