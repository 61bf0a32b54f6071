"""All commands of the README and of the documentation run in order.

Additional options save time. A command that is in several pages runs once.
"""

import json
import os
import pickle
import re
import shlex
import shutil
import signal
import subprocess

import numpy as np
import pandas as pd
import pytest

from pipeline.core.files import read_json
from pipeline.core.run_directory import RunDirectory
from pipeline.core.traits import TRAITS
from pipeline.data.feature_set import load_feature_set
from tests.end_to_end.foreign_files import (
    write_array_folder,
    write_labels,
    write_openface,
    write_opensmile_functionals,
)
from tests.loopback import free_port, wait_for_server

pytest.importorskip("av", reason="the extra `video` is not installed")

pytestmark = pytest.mark.slow

TOOL_CLIPS = [f"{person}_{number}" for person in ("anna", "ben", "cara", "dan") for number in "123"]
"""Clips of the feature files of other tools."""

NUM_CLIPS = 60
"""Ten source videos with six clips each, so that two videos are held out."""

WAIT = ("--tracking.patience_seconds", "60")
"""Longer wait for MLflow, because the test machine may be slow."""

QUICK_OPTIONS = {
    "train": (
        *WAIT,
        *("--training.num_epochs", "1", "--evaluation.num_resamples", "100"),
        *("--evaluation.figures", "false"),
    ),
    "search": (
        *WAIT,
        *("--num_trials", "2", "--num_workers", "1", "--training.num_epochs", "1"),
        *("--model.fusion", "concat"),
        *("--evaluation.num_resamples", "100", "--evaluation.figures", "false"),
    ),
    "extract": ("--sampling.num_steps", "2"),
}
"""Additional options per command of the pipeline."""

QUICK_PARAMETERS = {
    "train": (
        *("-P", "tracking.patience_seconds=60"),
        *("-P", "training.num_epochs=1", "-P", "evaluation.num_resamples=100"),
        *("-P", "evaluation.figures=false", "-P", "model.fusion=concat"),
    ),
    "main": (
        *("-P", "tracking.patience_seconds=60"),
        *("-P", "training.num_epochs=1", "-P", "evaluation.num_resamples=100"),
        *("-P", "evaluation.figures=false", "-P", "data.synthetic.num_clips=240"),
        *("-P", "model.fusion=concat"),
    ),
}
"""Additional parameters of `mlflow run` per entry point."""

NOT_RUN = {
    "python -m pipeline verify": "is in tests/end_to_end/test_verify.py",
    "pip install -e '.[video]'": "is checked in tests/contracts/test_dependencies.py",
}

PROJECT = (
    *("MLproject", "conda.yaml", "requirements.txt", "pyproject.toml", "setup.py"),
    *("pipeline", "experiments", "Makefile"),
)


def pages(repository):
    """Return the README and the pages of the documentation in the order of the site."""
    docs = repository / "docs"
    names = re.findall(r": (\w+)\.md$", (repository / "mkdocs.yml").read_text(), re.MULTILINE)
    notebooks = {path.stem for path in docs.glob("*.ipynb")}
    assert {*names} == {path.stem for path in docs.glob("*.md")} | notebooks
    paths = (docs / f"{name}.md" for name in names if name not in notebooks)
    paths = (repository / "README.md", *paths)
    return [path.read_text(encoding="utf-8") for path in paths]


def commands_of(text):
    """Return the command lines of a page in order, without comments."""
    lines = re.findall(r"^\$ (.+)$", text, flags=re.MULTILINE)
    return [re.sub(r"\s{2,}#.*", "", line) for line in lines]


def visible_to_git(repository, directory, inputs):
    """Return the new files and folders of a directory that the project does not ignore."""
    names = [
        f"{path.name}/" if path.is_dir() else path.name
        for path in directory.iterdir()
        if path.name not in inputs
    ]
    ignored = subprocess.run(
        ["git", "check-ignore", "--no-index", *names],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ignored.returncode in (0, 1), ignored.stderr
    return {*names} - {*ignored.stdout.splitlines()}


@pytest.fixture
def clone(repository, tmp_path):
    """A checkout with the input files that the documents mention.

    The videos are real clips, because extraction needs faces. Without real clips, the folders of
    videos are missing.
    """
    for name in PROJECT:
        (tmp_path / name).symlink_to(repository / name)
    rng = np.random.default_rng(0)
    clip_ids = [f"video{row // 6:06d}.{row % 6:03d}.mp4" for row in range(NUM_CLIPS)]
    for name in ("face", "motion"):
        steps = rng.normal(size=(NUM_CLIPS, 3, 6)).astype(np.float32)
        np.save(tmp_path / f"{name}.npy", steps)
    pd.DataFrame({"clip_id": clip_ids}).to_csv(tmp_path / "clips.csv", index=False)
    videos = sorted(repository.parent.glob("shared/data/clips/*.mp4"))
    for person, video in zip(("anna", "ben"), videos, strict=bool(videos)):
        (tmp_path / "clips").mkdir(exist_ok=True)
        shutil.copy(video, tmp_path / "clips")
        (tmp_path / "videos" / person).mkdir(parents=True)
        shutil.copy(video, tmp_path / "videos" / person / "1.mp4")
    write_tool_files(tmp_path)
    write_label_files(tmp_path, [*clip_ids, *TOOL_CLIPS])
    return tmp_path


def write_tool_files(directory):
    """Write the feature files of other tools. Each person has a folder of OpenFace tables."""
    for path in write_openface(directory, TOOL_CLIPS, name="openface").glob("*.csv"):
        folder = path.parent / path.name.partition("_")[0]
        folder.mkdir(exist_ok=True)
        path.rename(folder / path.name)
    write_array_folder(directory, TOOL_CLIPS, name="poses")
    write_opensmile_functionals(directory, TOOL_CLIPS[1:])
    people = {"clip_id": TOOL_CLIPS, "group": [clip.partition("_")[0] for clip in TOOL_CLIPS]}
    pd.DataFrame(people).to_csv(directory / "people.csv", index=False)


def write_label_files(directory, clip_ids):
    """Write the scores in all forms that the documents mention."""
    scores = dict(zip(clip_ids, np.linspace(0.3, 0.7, len(clip_ids)).tolist(), strict=True))
    for name, is_validation in (("training", False), ("validation", True)):
        subset = {
            clip: score for clip, score in scores.items() if clip.startswith("dan") is is_validation
        }
        pickled = pickle.dumps(dict.fromkeys(TRAITS, subset), protocol=2)
        (directory / f"annotation_{name}.pkl").write_bytes(pickled)
    write_labels(directory / "vlogs.csv", "vlogId Extr Agr Cons Emot Open", clip_ids, low=1, high=7)
    names = "Code Curious Cons Extr Agr Nervous warmth competence"
    write_labels(directory / "ratings.csv", names, clip_ids)
    likert = {"separator": ";", "decimal": ",", "low": 1, "high": 5}
    header = f"Video {' '.join(TRAITS)}"
    write_labels(directory / "likert.csv", header, ["anna/1", "ben/1"], **likert)


def has_test(run):
    return ",test" in RunDirectory(run).split_path.read_text(encoding="utf-8")


def stop(server):
    os.killpg(server.pid, signal.SIGTERM)
    server.wait(timeout=60)


class Shell:
    """A shell for lines of the documents, which runs in the checkout."""

    def __init__(self, run, run_here, start, directory):
        self._run, self._run_here, self._start = run, run_here, start
        self._directory = directory
        self._server = None
        self._port = str(free_port())

    def execute(self, line):
        """Run a line; return the exit status and the output."""
        words = shlex.split(self._insert_run(line))
        environment = dict(word.split("=", 1) for word in words if re.match(r"[A-Z_]+=", word))
        words = words[len(environment) :]
        if words[0] == "make":
            return self._make(words[1:])
        if words[:3] == ["mlflow", "models", "serve"]:
            self._server = self._serve(words, environment, page="ping")
            return 0, ""
        if words[:2] == ["mlflow", "ui"]:
            stop(self._serve(words, environment, page="health"))
            return 0, ""
        if words[:2] == ["mlflow", "run"]:
            name = words[words.index("-e") + 1] if "-e" in words else "main"
            return self._run_process([*words, *QUICK_PARAMETERS.get(name, ())])
        if words[:3] == ["python", "-m", "pipeline"]:
            options = self._quick_options(words)
            result = self._run_here(*words[3:], *options, cwd=self._directory)
            return result.status, result.out + result.err
        return self._run_process(["bash", "-c", line.replace("5017", self._port)])

    def close(self):
        """Stop the model server."""
        if self._server is not None:
            stop(self._server)

    def _quick_options(self, words):
        if "--resume" in words:
            return ()
        # `predict --explain` then uses the run with seed 2, so this run needs attention.
        needs_attention = words[3] != "train" or words[-2:] == ["--seed", "2"]
        fusion = () if needs_attention else ("--model.fusion", "concat")
        is_demo = any("demo" in word for word in words)
        clips = ("--data.synthetic.num_clips", "240") if is_demo else ()
        return QUICK_OPTIONS.get(words[3], ()) + fusion + clips

    def _run_process(self, words):
        result = self._run(*words[1:], cwd=self._directory, program=(words[0],))
        output = result.out if words[0] == "bash" else result.out + result.err
        return result.status, output

    def _make(self, targets):
        """Run the `mlflow` line of a target in the active environment."""
        recipe = subprocess.run(
            ["make", "--dry-run", *targets],
            cwd=self._directory,
            capture_output=True,
            text=True,
            check=True,
        )
        (line,) = [line for line in recipe.stdout.splitlines() if line.startswith("mlflow")]
        return self.execute(line)

    def _serve(self, words, environment, *, page):
        """Start a server on a free port, and wait until it answers."""
        words = [self._port if word in ("5000", "5017") else word for word in words]
        server = self._start(
            *words[1:],
            cwd=self._directory,
            program=(words[0],),
            environment=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        wait_for_server(f"http://127.0.0.1:{self._port}/{page}", server)
        return server

    def _insert_run(self, line):
        """Replace RUN by the newest run with suitable streams.

        If the command uses the test subset, the run has one.
        """
        if re.search(r"runs/RUN\b", line):
            runs = self._trained_runs(512 if "--videos_dir" in line else 6)
            if re.search(r"split[= ]test", line):
                runs = [run for run in runs if has_test(run)]
            line = re.sub(r"runs/RUN\b", f"runs/{runs[-1].name}", line)
        return line

    def _trained_runs(self, width):
        """Return the runs with `width` static features, sorted by time."""
        runs = [path.parent for path in self._directory.glob("runs/*/model.keras")]
        streams = {run: read_json(RunDirectory(run).data_path)["streams"] for run in runs}
        of_width = [run for run in runs if streams[run].get("static", [0])[-1] == width]
        return sorted(of_width, key=lambda run: (run / "model.keras").stat().st_mtime)


@pytest.fixture
def shell(clone, run, run_here, start):
    shell = Shell(run, run_here, start, clone)
    yield shell
    shell.close()


def test_every_command_of_the_documents_succeeds(shell, clone, repository):
    inputs = {path.name for path in clone.iterdir()}
    lines = dict.fromkeys(line for page in pages(repository) for line in commands_of(page))
    outputs = {}
    has_videos = (clone / "videos").exists()
    for line in lines:
        needs_videos = "--videos_dir" in line or "features/mine" in line
        if line in NOT_RUN or (needs_videos and not has_videos):
            continue
        if "features/new" in line and not (clone / "features" / "new").exists():
            shutil.copytree(clone / "features/first_impressions", clone / "features/new")
        status, outputs[line] = shell.execute(line)
        assert status == 0, f"{line}\n{outputs[line]}"
    assert {*NOT_RUN} <= {*lines}
    assert visible_to_git(repository, clone, inputs) == set()
    results = clone / "results"
    assert (results / "model.keras").exists()
    assert len(pd.read_csv(results / "attention.csv")) > 0
    assert len(pd.read_csv(results / "scores.csv")) == NUM_CLIPS
    if has_videos:
        assert (clone / "features" / "mine" / "contact_sheet.png").exists()
        assert sorted(load_feature_set(clone / "features" / "mine").groups) == ["anna", "ben"]
        assert len(pd.read_csv(results / "new_videos.csv")) == 2
    # The server gives the same scores as `predict`.
    (answer,) = [text for line, text in outputs.items() if line.startswith("curl")]
    served = json.loads(answer)["predictions"]
    scores = pd.read_parquet(results / "scores.parquet")[[*TRAITS]].to_numpy()[: len(served)]
    assert served
    np.testing.assert_allclose(served, scores, atol=1e-5)


def options_of_own_data(page):
    """Return the options in the table of the page *Your data*."""
    table = page.partition("| you have | you type |")[2].partition("\n\n")[0]
    cells = [line.split(" | ")[-1] for line in table.splitlines() if "`--" in line]
    return [options for cell in cells for options in re.findall(r"`(--[^`]+)`", cell)]


def test_the_options_for_own_data_give_a_feature_set(shell, clone, repository):
    rows = options_of_own_data((repository / "docs" / "data.md").read_text(encoding="utf-8"))
    assert len(rows) > 10
    for number, options in enumerate(rows):
        line = f"python -m pipeline prepare {options} --features_dir out/{number}"
        line += "" if "--stream" in options else " --stream face=openface"
        line += "" if "--labels" in options else " --labels vlogs.csv --label_range 1,7"
        status, output = shell.execute(line)
        assert status == 0, f"{line}\n{output}"
        num_clips = load_feature_set(clone / "out" / str(number)).num_clips
        assert num_clips in (len(TOOL_CLIPS), len(TOOL_CLIPS) - 1, NUM_CLIPS), line
        assert "openface" not in line or "12 clips in 4 groups" in output, line
