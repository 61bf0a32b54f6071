"""A damaged file of a run never ends in a traceback, and never in another value.

Each file of a run is cut, emptied, changed by one bit, and replaced by a directory. Then
each command that reads runs either gives what it gave before, or names the file.
"""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.figures.gallery import Gallery
from tests.end_to_end.command import pipeline_here

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

PREPARED = ("config.yaml", "split.csv", "data.json", "manifest.json", "events.jsonl")
RESULTS = (
    *("model.keras", "baselines.npz", "conformal.json", "evaluation.json", "summary.json"),
    *("predictions/validation.csv", "batch_metrics/metrics_history.json", "environment.json"),
    *("time_tracking/time_logs.json", "lr_tracking/lr_logs.json", "attention.npz"),
)
NOT_DRAWN = ("split.csv", "model.keras", "baselines.npz", "conformal.json")
STOOD_ON = (
    *("architecture.json", "checkpoints/initial.npz", "checkpoints/LAST"),
    *(
        f"checkpoints/epoch-0000{epoch}/{name}"
        for epoch in (2, 3)
        for name in ("network.npz", "optimizer.npz", "state.json")
    ),
)


def cases(*files: str) -> list[tuple[str, str]]:
    """A flipped bit in each file, and the other damages in turn: all of them take too long."""
    others = [name for name in DAMAGES if name != "flipped"]
    return [
        (file, damage)
        for number, file in enumerate(files)
        for damage in ("flipped", others[number % len(others)])
    ]


@pytest.fixture(scope="module")
def runs(tmp_path_factory, features_dir):
    """A finished run, another one, and one that was interrupted before its evaluation."""
    directory = tmp_path_factory.mktemp("damaged")
    with pipeline_here() as run, pytest.MonkeyPatch.context() as patch:
        # What is drawn is not looked at here, and takes a minute for each case.
        empty = Gallery(drawn=(), omitted=())
        for module in ("visualize", "compare"):
            patch.setattr(f"pipeline.workflows.{module}.draw_gallery", lambda *_, **__: empty)
        options = ("--features_dir", features_dir, *SETTINGS)
        for name in ("finished", "other"):
            done = run("train", *options, "--run_dir", name, cwd=directory)
            assert done.status == 0, done.err
        with pytest.MonkeyPatch.context() as interrupted:
            interrupted.setattr("pipeline.workflows.training_steps.evaluate_held_out", interrupt)
            done = run("train", *options, "--run_dir", "interrupted", cwd=directory)
            assert done.status == 130, done.err
        yield SimpleNamespace(directory=directory, run=run, features_dir=features_dir)


def interrupt(*_):
    raise KeyboardInterrupt


@pytest.fixture
def copy(runs, tmp_path):
    """Give a function that copies a run."""

    def of(name: str) -> Path:
        shutil.copytree(runs.directory / name, tmp_path / name)
        return tmp_path / name

    return of


def results_of(runs, where: Path, command: str):
    """Run a command beside a copy of the runs; return how it ended and what it gave."""
    shutil.rmtree(where / "out", ignore_errors=True)
    options = {
        "evaluate": ("--run_dir", "finished"),
        "predict": (
            *("--run_dir", "finished", "--features_dir", runs.features_dir),
            *("--output", "out/scores.csv"),
        ),
        "compare": (
            *("--run_a", "finished", "--run_b", runs.directory / "other"),
            *("--output", "out/comparison.json", "--figures_dir", "out"),
        ),
        "visualize": ("--run_dir", "finished"),
        "resume": ("--resume", "interrupted"),
    }[command]
    done = runs.run("train" if command == "resume" else command, *options, cwd=where)
    made = {
        "evaluate": ("finished/evaluation.json", "finished/predictions/validation.csv"),
        "predict": ("out/scores.csv",),
        "compare": ("out/comparison.json",),
        "visualize": (),
        "resume": ("interrupted/evaluation.json", "interrupted/predictions/validation.csv"),
    }[command]
    return done, [(where / name).read_bytes() for name in made if (where / name).is_file()]


@pytest.fixture(scope="module")
def expected(runs, tmp_path_factory):
    """What each command gives of runs that are whole."""
    where = tmp_path_factory.mktemp("whole")
    shutil.copytree(runs.directory / "finished", where / "finished")
    shutil.copytree(runs.directory / "interrupted", where / "interrupted")
    found = {}
    for command in ("evaluate", "predict", "compare", "visualize", "resume"):
        done, made = results_of(runs, where, command)
        assert done.status == 0, done.err + done.out
        found[command] = made
    return found


def check(runs, expected, where, command, file):
    done, made = results_of(runs, where, command)
    said = done.err + done.out
    assert "Traceback" not in said
    if command == "visualize":
        assert (done.status == 0) == (file in NOT_DRAWN), said
    if done.status == 0:
        assert made == expected[command], said
        return
    assert done.status in ((2, 3) if command == "visualize" else (2,)), said
    assert file in said
    if done.status == 2:
        assert len(done.err.strip().splitlines()) == 1, done.err


@pytest.mark.parametrize(("file", "damage"), cases(*PREPARED, *RESULTS))
def test_a_damaged_file_of_a_finished_run(runs, expected, copy, tmp_path, file, damage):
    for command in ("compare", "predict", "visualize", "evaluate"):
        run = copy("finished")
        DAMAGES[damage](run / file)
        check(runs, expected, tmp_path, command, file)
        shutil.rmtree(run)


@pytest.mark.parametrize(("file", "damage"), cases(*PREPARED, *STOOD_ON))
def test_a_damaged_file_of_a_run_that_is_resumed(runs, expected, copy, tmp_path, file, damage):
    run = copy("interrupted")
    DAMAGES[damage](run / file)
    check(runs, expected, tmp_path, "resume", Path(file).name)
