"""If a file of a run is damaged, a command gives the same values or an error that names the file.

These tests contain the commands and kinds of damage that are not in `faults/test_damage.py`.
"""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.figures.gallery import Gallery
from tests.end_to_end.command import in_process

pytestmark = pytest.mark.slow

SETTINGS = (
    *("--training.batch_size", 64, "--training.num_epochs", 3, "--training.warmup_epochs", 1),
    *("--model.fusion_dim", 8, "--model.num_heads", 2, "--tracking.enabled", "false"),
    *("--evaluation.num_resamples", 100, "--tracking.system_metrics", "false"),
)


def flip_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def replace_by_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "emptied": lambda path: path.write_bytes(b""),
    "flipped": flip_bit,
    "a directory": replace_by_directory,
}

OF_A_FINISHED_RUN = (
    ("config.yaml", "cut"),
    ("split.csv", "flipped"),
    ("data.json", "emptied"),
    ("manifest.json", "a directory"),
    ("events.jsonl", "flipped"),
    ("model.keras", "flipped"),
    ("evaluation.json", "a directory"),
    ("predictions/validation.csv", "flipped"),
    ("batch_metrics/metrics_history.json", "flipped"),
)

NOT_DRAWN = ("split.csv", "model.keras")
"""Files that `visualize` does not read."""

OF_AN_INTERRUPTED_RUN = (
    ("config.yaml", "flipped"),
    ("events.jsonl", "a directory"),
    ("architecture.json", "flipped"),
    ("checkpoints/LAST", "a directory"),
    ("checkpoints/epoch-00003/network.npz", "flipped"),
    ("checkpoints/epoch-00003/state.json", "cut"),
)

OUTPUTS = {
    "compare": ("out/comparison.json",),
    "predict": ("out/scores.csv",),
    "visualize": (),
    "evaluate": ("finished/evaluation.json", "finished/predictions/validation.csv"),
    "resume": ("interrupted/evaluation.json", "interrupted/predictions/validation.csv"),
}


def interrupt(*_):
    raise KeyboardInterrupt


@pytest.fixture(scope="module")
def runs(tmp_path_factory, features_dir):
    """A finished run, and a copy that was interrupted before its evaluation."""
    directory = tmp_path_factory.mktemp("damaged")
    with in_process() as run, pytest.MonkeyPatch.context() as patch:
        # Drawing the figures takes a minute per case, and they are not compared.
        empty = Gallery(drawn=(), omitted=())
        for module in ("visualize", "compare"):
            patch.setattr(f"pipeline.workflows.{module}.draw_gallery", lambda *_, **__: empty)
        with pytest.MonkeyPatch.context() as interrupted:
            interrupted.setattr("pipeline.workflows.training_steps.evaluate_held_out", interrupt)
            options = ("--features_dir", features_dir, *SETTINGS)
            result = run("train", *options, "--run_dir", "interrupted", cwd=directory)
            assert result.status == 130, result.err
        shutil.copytree(directory / "interrupted", directory / "finished")
        result = run("train", "--resume", "finished", cwd=directory)
        assert result.status == 0, result.err
        shutil.copytree(directory / "finished", directory / "other")
        yield SimpleNamespace(directory=directory, run=run, features_dir=features_dir)


def run_command(runs, where, command):
    """Run a command on a copy of a run; return the result and the content of the outputs."""
    shutil.rmtree(where / "out", ignore_errors=True)
    options = {
        "compare": (
            *("--run_dir", "finished", runs.directory / "other"),
            *("--output", "out/comparison.json", "--figures_dir", "out"),
        ),
        "predict": (
            *("--run_dir", "finished", "--features_dir", runs.features_dir),
            *("--output", "out/scores.csv"),
        ),
        "visualize": ("--run_dir", "finished"),
        "evaluate": ("--run_dir", "finished"),
        "resume": ("--resume", "interrupted"),
    }[command]
    result = runs.run("train" if command == "resume" else command, *options, cwd=where)
    files = [where / name for name in OUTPUTS[command]]
    return result, [path.read_bytes() for path in files if path.is_file()]


@pytest.fixture(scope="module")
def expected(runs, tmp_path_factory):
    """The outputs of each command on undamaged runs."""
    where = tmp_path_factory.mktemp("undamaged")
    for name in ("finished", "interrupted"):
        shutil.copytree(runs.directory / name, where / name)
    outputs = {}
    for command in OUTPUTS:
        result, outputs[command] = run_command(runs, where, command)
        assert result.status == 0, result
    return outputs


def check(runs, expected, where, command, file):
    """Check that a command gives the expected outputs or names the damaged file."""
    result, outputs = run_command(runs, where, command)
    assert "Traceback" not in result.err + result.out
    if command == "visualize":
        assert (result.status == 0) == (file in NOT_DRAWN), result
    if result.status == 0:
        assert outputs == expected[command], result
        return
    assert file in result.err + result.out
    if (command, result.status) != ("visualize", 3):
        result.error_line()


@pytest.mark.parametrize(("file", "damage"), OF_A_FINISHED_RUN)
def test_a_damaged_file_of_a_finished_run(runs, expected, tmp_path, file, damage):
    for command in ("compare", "predict", "visualize", "evaluate"):
        run_dir = shutil.copytree(runs.directory / "finished", tmp_path / "finished")
        DAMAGES[damage](run_dir / file)
        check(runs, expected, tmp_path, command, file)
        shutil.rmtree(run_dir)


@pytest.mark.parametrize(("file", "damage"), OF_AN_INTERRUPTED_RUN)
def test_a_damaged_file_of_a_resumed_run(runs, expected, tmp_path, file, damage):
    run_dir = shutil.copytree(runs.directory / "interrupted", tmp_path / "interrupted")
    DAMAGES[damage](run_dir / file)
    check(runs, expected, tmp_path, "resume", Path(file).name)
