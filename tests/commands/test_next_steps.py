"""Commands suggest the next commands with the right program, paths and options."""

import shlex
import sys
from pathlib import Path

import pytest

from pipeline.cli import parse
from pipeline.commands import next_steps
from pipeline.core.run_directory import RunDirectory


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_command_has_relative_paths_and_quoted_values(here):
    shown = next_steps.command("train", features_dir=here / "my data", run_dir=Path("/else/where"))
    expected = "python -m pipeline train --features_dir 'my data' --run_dir /else/where"
    assert shown == expected


def test_a_command_starts_with_the_installed_script_if_it_was_used(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/usr/bin/ocean-pipeline"])
    assert next_steps.command("train") == "ocean-pipeline train"


def test_the_report_is_suggested_only_if_it_exists(here):
    run = RunDirectory(here / "run")
    run.path.mkdir()
    assert "open the report" not in next_steps.after_demo(run)
    run.report_path.touch()
    assert next_steps.after_demo(run)["open the report"] == "run/report.html"


def test_every_suggested_command_is_valid(here):
    run = RunDirectory(here / "run")
    steps = {
        **next_steps.after_training(run, has_test_clips=True),
        **next_steps.after_demo(run),
        **next_steps.after_features(here / "features", has_labels=False),
        **next_steps.after_features(here / "own", has_labels=True),
        **next_steps.after_evaluation(run_dir=run.path, model_uri=""),
        **next_steps.after_evaluation(run_dir=None, model_uri="models:/a/1"),
    }
    prefix = "python -m pipeline "
    commands = [step.removeprefix(prefix) for step in steps.values() if step.startswith(prefix)]
    assert len(commands) >= 6
    for command in commands:
        if not command.endswith("--help"):
            parse(shlex.split(command))


def test_test_clips_are_scored_only_if_there_are_any(here):
    run = RunDirectory(here / "run")
    steps = next_steps.after_training(run, has_test_clips=False)
    assert not any("evaluate" in step for step in steps.values())
