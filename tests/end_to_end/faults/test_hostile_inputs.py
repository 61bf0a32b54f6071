"""A hostile file causes one error line, and executes no code. It uses little memory and time."""

import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from tests.end_to_end.faults import hostile
from tests.end_to_end.faults.campaign import Outcome, sampled, size
from tests.end_to_end.faults.injection import Boundary
from tests.end_to_end.faults.launcher import Launcher
from tests.end_to_end.faults.reference import Reference

pytestmark = pytest.mark.slow

LARGEST_GROWTH_MB = 1000
LONGEST_SECONDS = 15
"""Time limit of a command on an idle machine."""
SAMPLE_SIZE = 3
NUM_SHARDS = size(6, 1)

NEW = ("train", "--features_dir", "features", "--run_dir", "new")
PREPARE = (
    *("prepare", "--static_features", "features/static.npy", "--clips", "features/clips.csv"),
    *("--dynamic_features", "features/dynamic.npy", "--features_dir", "prepared"),
)
STREAM = ("prepare", "--features_dir", "prepared", "--stream")
RESUME = ("train", "--resume", "killed")
EVALUATE = ("evaluate", "--run_dir", "run", "--split", "test")
PREDICT = ("predict", "--run_dir", "run", "--features_dir", "features")
SEARCH = ("search", "--space", "hostile.yaml", "--features_dir", "features", "--num_trials", 1)


class Case(NamedTuple):
    """A file to replace by a hostile file, and the command that reads it."""

    file: str
    write: hostile.Write
    command: tuple[object, ...]


CASES = [
    *(
        Case(f"features/{name}", write, NEW)
        for name in ("static.npy", "labels.npy")
        for write in (
            hostile.pickled,
            hostile.object_array,
            hostile.header_with_code,
            hostile.header_too_large,
            hostile.header_with_flag,
            hostile.header_endless,
        )
    ),
    *(
        Case("annotations.pkl", write, (*PREPARE, "--annotations", "annotations.pkl"))
        for write in (hostile.pickled, hostile.old_pickle, hostile.evaluated)
    ),
    *(
        Case("stream.npz", write, (*STREAM, "face=stream.npz"))
        for write in (hostile.object_arrays, hostile.pickled)
    ),
    *(
        Case("stream.jsonl", write, (*STREAM, "face=stream.jsonl"))
        for write in (hostile.json_brackets, hostile.json_long_number)
    ),
    *(
        Case("stream.npy", write, (*STREAM, "face=stream.npy", "--clips", "features/clips.csv"))
        for write in (hostile.object_array, hostile.header_with_code, hostile.header_too_large)
    ),
    *(
        Case("hostile.yaml", write, command)
        for write in (
            hostile.yaml_tag,
            hostile.yaml_bomb,
            hostile.yaml_merge_bomb,
            hostile.yaml_brackets,
        )
        for command in ((*NEW, "--config", "hostile.yaml"), SEARCH)
    ),
    Case("run/config.yaml", hostile.yaml_tag, EVALUATE),
    Case("killed/config.yaml", hostile.yaml_tag, RESUME),
    Case("killed/config.yaml", hostile.yaml_brackets, RESUME),
    *(
        Case(f"killed/{name}", write, RESUME)
        for name in ("checkpoints/epoch-00002/network.npz", "checkpoints/epoch-00002/optimizer.npz")
        for write in (hostile.object_arrays, hostile.array_bomb, hostile.pickled)
    ),
    Case("killed/checkpoints/LAST", hostile.elsewhere, RESUME),
    *(
        Case("killed/checkpoints/epoch-00002/state.json", write, RESUME)
        for write in (hostile.json_brackets, hostile.json_long_number)
    ),
    *(
        Case("killed/architecture.json", write, RESUME)
        for write in (
            hostile.lambda_layer,
            hostile.named_function,
            hostile.torch_module,
            hostile.json_brackets,
        )
    ),
    *(
        Case("run/model.keras", write, command)
        for write in (
            hostile.lambda_layer,
            hostile.named_function,
            hostile.torch_module,
            hostile.zip_bomb,
            hostile.pickled,
        )
        for command in (PREDICT, EVALUATE)
    ),
    *(
        Case("run/baselines.npz", write, EVALUATE)
        for write in (hostile.object_arrays, hostile.array_bomb, hostile.pickled)
    ),
    *(
        Case("run/conformal.json", write, PREDICT)
        for write in (hostile.json_brackets, hostile.json_long_number)
    ),
    Case("run/evaluation.json", hostile.json_brackets, ("visualize", "--run_dir", "run")),
    Case("run/mlflow.json", hostile.json_brackets, ("sync", "--run_dir", "run")),
]


@pytest.fixture(scope="module")
def whole(launcher, reference, tmp_path_factory) -> Path:
    """A working directory with features, a finished run and a killed run."""
    home = reference.new_directory(tmp_path_factory.mktemp("whole") / "work")
    for name, kill_at in (
        ("run", None),
        ("killed", Boundary("epoch-00002", "mkdir batch_metrics", 1)),
    ):
        plan = {"run_dir": str(home / name), "kill_at": kill_at} if kill_at else None
        launcher.run(
            *reference.options(name), "--tracking.package_model", "false", cwd=home, plan=plan
        )
    shutil.copytree(reference.features_dir, home / "features")
    np.savez(home / "stream.npz", clip=np.ones((3, 2)))
    return home


@pytest.mark.parametrize("shard", range(NUM_SHARDS))
def test_a_hostile_file_is_rejected_in_one_line(
    shard, whole, launcher, reference, new_outcome, tmp_path
):
    outcomes: dict[str, Outcome] = {}
    for number, case in enumerate(sampled(CASES[shard::NUM_SHARDS], SAMPLE_SIZE, "hostile")):
        kind = case.write.__name__.replace("_", " ")
        fault = f"hostile file: {kind}"
        outcome = outcomes.setdefault(fault, new_outcome(fault))
        check(case, shutil.copytree(whole, tmp_path / str(number)), launcher, reference, outcome)
    problems = [problem for outcome in outcomes.values() for problem in outcome.problems]
    assert not problems, "\n".join(problems)


REPLACEABLE = ("killed/checkpoints/", "run/mlflow.json", "run/evaluation.json")
"""Files that an older checkpoint or the run log can replace."""


def check(
    case: Case, home: Path, launcher: Launcher, reference: Reference, outcome: Outcome
) -> None:
    """Run a command on a hostile file, and check that it rejects the file in one line."""
    canary = home / "canary"
    case.write(home / case.file, canary)
    outcome.times += 1
    longest = reference.limit(LONGEST_SECONDS)
    ended = launcher.run(*case.command, cwd=home, timeout=longest)
    title = f"{case.file} ({case.write.__name__}), {case.command[0]}"
    if canary.exists():
        outcome.executed += 1
        outcome.problems.append(f"{title}: the code in the file was executed")
    statuses = (0, 2, 3) if case.file.startswith(REPLACEABLE) else (2,)
    outcome.expect_status(ended, *statuses, case=title)
    if ended.status == 2:
        outcome.expect(Path(case.file).name in ended.error_line(), f"{title}: {ended.err[-500:]}")
    outcome.expect(ended.seconds < longest, f"{title}: ended after {ended.seconds:.0f} s")
    growth = ended.peak_mb - launcher.run("sync", "--help", cwd=home).peak_mb
    outcome.expect(growth < LARGEST_GROWTH_MB, f"{title}: needed {growth:.0f} MB")
