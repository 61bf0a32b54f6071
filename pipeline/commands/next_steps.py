"""Print the commands that are useful after a command, as the last lines of its output."""

import importlib.util
import shlex
from collections.abc import Mapping
from pathlib import Path

from pipeline.core.installation import activation_command, install_command, program, ui_command
from pipeline.core.run_directory import RunDirectory

_REPORT = "open the report"


def print_next(steps: Mapping[str, str]) -> None:
    """Print steps: purpose -> command, or path of a file to open."""
    from pipeline.commands.tables import print_line

    width = max(map(len, steps), default=0)
    print_line("next:")
    for purpose, command in steps.items():
        print_line(f"  {purpose:<{width}}  {command}")


def command(name: str, **options: object) -> str:
    """Return a command of this program with its options, ready to type."""
    words = [f"--{option} {_quoted(value)}" for option, value in options.items()]
    return " ".join((program(), name, *words))


def after_training(run: RunDirectory, *, has_test_clips: bool) -> dict[str, str]:
    """Return the steps after a training."""
    steps = {**_open_report(run), **_show_runs(run)}
    if has_test_clips:
        steps["score the test clips"] = command("evaluate", run_dir=run.path, split="test")
    steps["predict new clips"] = command("predict", run_dir=run.path, features_dir="NEW")
    return steps


def after_demo(run: RunDirectory) -> dict[str, str]:
    """Return the steps after the demo: the results, and how to use other data."""
    activate = activation_command()
    has_video = importlib.util.find_spec("av") is not None
    return {
        **_open_report(run),
        **_show_runs(run),
        **({"activate the environment": activate} if activate else {}),
        **({} if has_video else {"install support for videos": install_command("video")}),
        "use your own videos": command("extract", videos_dir="VIDEOS", features_dir="features/own"),
        "use your own features": f"{program()} prepare --help",
    }


def after_evaluation(*, run_dir: Path | None, model_uri: str) -> dict[str, str]:
    """Return the steps after the evaluation of the model of a run, or of a model in MLflow."""
    if run_dir is None:
        return {"predict new clips": command("predict", model_uri=model_uri, features_dir="NEW")}
    return {
        **_open_report(RunDirectory(run_dir)),
        "compare with another run": f"{command('compare', run_dir=run_dir)} OTHER",
    }


def after_features(features_dir: Path, *, has_labels: bool) -> dict[str, str]:
    """Return the steps after features were extracted or prepared."""
    if has_labels:
        return {"train a model": command("train", features_dir=features_dir)}
    labels = {"labels": "LABELS.csv"}
    return {
        "train a model": command("train", features_dir=features_dir, **labels),
        "predict the traits": command("predict", run_dir="RUN", features_dir=features_dir),
    }


def after_visualization(report_path: Path) -> dict[str, str]:
    """Return the steps after the figures and the report were written."""
    return {_REPORT: _quoted(report_path)}


def _open_report(run: RunDirectory) -> dict[str, str]:
    return {_REPORT: _quoted(run.report_path)} if run.report_path.exists() else {}


def _show_runs(run: RunDirectory) -> dict[str, str]:
    from pipeline.tracking.run_link import read_link

    link = read_link(run.tracking_path)
    return {} if link is None else {"see all runs in MLflow": ui_command(link.tracking_uri)}


def _quoted(value: object) -> str:
    """Return a value as a word of the shell; a path below the working directory is relative."""
    if isinstance(value, Path) and value.is_relative_to(Path.cwd()):
        value = value.relative_to(Path.cwd())
    return shlex.quote(str(value))
