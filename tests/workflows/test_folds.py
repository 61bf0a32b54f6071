"""Several processes train the folds, with the results of one process, whatever ends a process."""

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
from types import SimpleNamespace

import psutil
import pytest

from pipeline.config.loading import write_config
from pipeline.core.errors import TrainingError
from pipeline.core.run_directory import RunDirectory
from pipeline.core.run_log import read_last_status
from tests.end_to_end.conftest import clean_environment
from tests.end_to_end.faults.comparing import differences
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

NUM_FOLDS = 3


@pytest.fixture(scope="module")
def config(make_config):
    return make_config(
        training__num_folds=NUM_FOLDS, training__num_epochs=8, model__dropout_rate=0.1
    )


@pytest.fixture(scope="module")
def alone(config, tmp_path_factory):
    """The run of one process."""
    from pipeline.workflows import cross_validation
    from pipeline.workflows.train import run_training

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cross_validation, "num_usable_cores", lambda: 1)
        run_dir = tmp_path_factory.mktemp("alone") / "run"
        return run_training(config, run_dir=run_dir).run


@pytest.fixture
def begin_after(monkeypatch):
    """Return a function that lets this process begin its first fold later.

    A helper process trains folds until the condition is true for the run.
    """
    from pipeline.workflows import cross_validation, folds

    monkeypatch.setattr(cross_validation, "num_usable_cores", lambda: 2)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=2**40))

    def begin_after(run_dir, condition):
        train, trained_here = folds.FoldTrainer.train, []

        def train_later(trainer, number):
            if not trained_here:
                wait_until(lambda: condition(RunDirectory(run_dir)), seconds=240)
            trained_here.append(number)
            return train(trainer, number)

        monkeypatch.setattr(folds.FoldTrainer, "train", train_later)
        return trained_here

    return begin_after


def fold(run, number):
    return RunDirectory(run.folds_dir / f"fold-{number}")


def statuses(run):
    return [read_last_status(fold(run, number)) for number in range(1, NUM_FOLDS + 1)]


def events(run):
    """Return the events of a run, without times and hashes."""
    lines = run.run_log_path.read_text().splitlines()
    measured = re.compile(r'"(time_ms|crc|run_dir|[\w/]*seconds[\w/]*)":("[^"]*"|[\w.\[\],-]+)')
    return [measured.sub("", line) for line in lines]


def test_every_file_equals_the_file_of_one_process(alone, config, own_directory, begin_after):
    from pipeline.workflows.train import run_training

    run = RunDirectory(own_directory / "run")
    trained_here = begin_after(run.path, lambda run: statuses(run)[1:] == ["FINISHED"] * 2)
    run_training(config, run_dir=run.path)
    assert trained_here == [1]
    assert differences(run.path, alone.path) == []
    for number in range(1, NUM_FOLDS + 1):
        assert events(fold(run, number)) == events(fold(alone, number))
        environments = [
            json.loads(fold(each, number).environment_path.read_text()) for each in (run, alone)
        ]
        pids = [environment.pop("process_id") for environment in environments]
        assert environments[0] == environments[1]
        assert (pids[0] == os.getpid()) == (number == 1)


def test_this_process_trains_the_fold_of_a_killed_process(
    alone, config, own_directory, begin_after
):
    from pipeline.workflows.train import run_training

    run = RunDirectory(own_directory / "run")

    def kill_helper(run):
        if not (fold(run, 2).checkpoints_dir / "LAST").exists():
            return False
        for process in psutil.Process().children():
            process.kill()
        return True

    begin_after(run.path, kill_helper)
    run_training(config, run_dir=run.path)
    assert differences(run.path, alone.path) == []


def test_an_error_in_a_helper_process_is_raised_as_in_one_process(
    make_config, own_directory, begin_after
):
    from pipeline.workflows.train import run_training

    config = make_config(training__num_folds=3, training__learning_rate=1e30)
    run = RunDirectory(own_directory / "run")
    begin_after(run.path, lambda run: statuses(run)[1] == "FAILED")
    with pytest.raises(TrainingError, match="loss"):
        run_training(config, run_dir=run.path)
    assert statuses(run) == ["FAILED", "FAILED", None]
    assert read_last_status(run) == "FAILED"


SCRIPT = """
import dataclasses, sys, time
from pathlib import Path
from types import SimpleNamespace
from pipeline.core.tensorflow_import import import_tensorflow_quietly
import_tensorflow_quietly()
import psutil
from pipeline import cli
from pipeline.workflows import cross_validation
from pipeline.workflows.folds import FoldTrainer

cross_validation.num_usable_cores = lambda: 2
psutil.virtual_memory = lambda: SimpleNamespace(available=2**40)
create = FoldTrainer.__init__

def create_with_hook(trainer, *arguments, **options):
    create(trainer, *arguments, **options)
    trainer.hooks = dataclasses.replace(trainer.hooks, on_commit=wait_for_helper)

def wait_for_helper():
    while not Path("run/folds/fold-2/checkpoints/LAST").exists():
        time.sleep(0.005)
    print("both folds are half trained", *[each.pid for each in psutil.Process().children()])
    sys.stdout.flush()

FoldTrainer.__init__ = create_with_hook
sys.exit(cli.main(["train", "--config", "config.yaml", "--run_dir", "run"]))
"""


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_a_signal_to_this_process_ends_all_processes_and_the_run_can_be_resumed(
    number, status, alone, config, own_directory, repository, monkeypatch
):
    from pipeline.workflows import cross_validation
    from pipeline.workflows.train import resume_training

    write_config(own_directory / "config.yaml", config)
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        cwd=own_directory,
        env=clean_environment(repository),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as program:
        lines = iter(program.stdout.readline, "")
        line = next(line for line in lines if line.startswith("both folds"))
        os.killpg(program.pid, number)
        err = program.stderr.read()
    helpers = [int(word) for word in line.split() if word.isdigit()]
    wait_until(lambda: not any(map(psutil.pid_exists, helpers)), seconds=240)
    run = RunDirectory(own_directory / "run")
    assert (program.returncode, len(helpers)) == (status, 1)
    if number == signal.SIGINT:
        assert len(err.splitlines()) == 1
        assert err.count(f"train --resume {run.path}") == 1
        # The fold of the helper process may have ended before the signal.
        assert statuses(run)[:2] in (["KILLED", "KILLED"], ["KILLED", "FINISHED"])
    else:
        assert err == ""

    monkeypatch.setattr(cross_validation, "num_usable_cores", lambda: 1)
    resume_training(run.path)
    assert differences(run.path, alone.path) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 3),
        ({"num_cores": 1}, 0),
        ({"num_cores": 3}, 2),
        ({"num_unfinished": 2}, 1),
        ({"num_unfinished": 1}, 0),
        ({"num_unfinished": 0}, 0),
        ({"gpus": ["GPU:0"]}, 0),
        ({"available": 1_399_000_000}, 0),
        ({"available": 3_000_000_000}, 2),
        # The features need 250,000 x 100 x 4 bytes = 0.1 GB.
        ({"available": 3_000_000_000, "num_clips": 250_000}, 1),
        ({"available": 3_000_000_000, "num_clips": 250_000, "cache": "disk"}, 2),
    ],
)
def test_the_number_of_helper_processes_depends_on_cores_folds_memory_and_gpus(
    config, monkeypatch, changes, expected
):
    import tensorflow as tf

    from pipeline.workflows import cross_validation

    inputs = {
        "num_cores": 8,
        "num_unfinished": 5,
        "gpus": [],
        "available": 10**12,
        "num_clips": 1,
        "cache": "memory",
        **changes,
    }
    monkeypatch.setattr(cross_validation, "num_usable_cores", lambda: inputs["num_cores"])
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: inputs["gpus"])
    memory = SimpleNamespace(available=inputs["available"])
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    training = dataclasses.replace(config.training, cache=inputs["cache"])
    stream = SimpleNamespace(shape=(inputs["num_clips"], 10, 10))
    experiment = SimpleNamespace(
        config=dataclasses.replace(config, training=training),
        features=SimpleNamespace(streams={"static": stream}),
    )
    number = cross_validation.count_helpers(experiment, inputs["num_unfinished"])
    assert number == expected
