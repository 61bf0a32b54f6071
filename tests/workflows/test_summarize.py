import functools

import mlflow
import pandas as pd
import pytest
from mlflow import MlflowClient

from pipeline.core.errors import RunError
from pipeline.core.run_directory import RunDirectory
from pipeline.core.run_log import METRICS, TAGS, read_events, read_last_status
from pipeline.tracking.run_link import Link, write_link
from pipeline.workflows.summarize import runs_of_experiment, summarize_runs


@pytest.fixture
def make_run(make_run):
    """Return a function that makes a run whose test predictions differ by `error`."""
    return functools.partial(make_run, split="test")


def logged(run, kind):
    merged = {}
    for event in read_events(run.run_log_path):
        if event.kind == kind:
            merged |= event.content[kind]
    return merged


def test_the_tables_are_written_and_logged_as_one_run(make_run, tmp_path):
    runs = [make_run(f"run-{seed}", 0.1 * (seed + 1), seed=seed) for seed in range(3)]
    against = [make_run(f"other-{seed}", 0.4 + seed / 10, seed=seed) for seed in range(2)]
    found = summarize_runs(runs, against, split="test", output_dir=tmp_path / "out")
    assert found.run.path == tmp_path / "out"
    assert [path.name for path in found.table_paths] == ["summary.csv", "summary.md", "summary.tex"]
    assert all(path.stat().st_size for path in found.table_paths)
    assert found.summary.runs.seeds == (0, 1, 2)
    metrics, tags = logged(found.run, METRICS), logged(found.run, TAGS)
    assert metrics["evaluation/test/mae/openness"] == pytest.approx(0.2)
    assert metrics["deviation/test/mae/mean"] == pytest.approx(0.1)
    assert metrics["difference/test/mae/mean"] == pytest.approx(-0.25)
    assert (tags["kind"], tags["runs"]) == ("summary", "run-0, run-1, run-2")
    assert tags["against"] == "other-0, other-1"
    assert "3 runs (seeds 0, 1, 2)" in tags["mlflow.note.content"]
    assert read_last_status(found.run) == "FINISHED"


def test_a_summary_can_be_written_again(make_run, tmp_path):
    runs = [make_run(f"run-{seed}", 0.1 * (seed + 1)) for seed in range(2)]
    for chosen in (runs[:1], runs):
        found = summarize_runs(chosen, split="test", output_dir=tmp_path / "out")
    assert pd.read_csv(found.table_paths[0])["num_runs"].unique().tolist() == [2]
    assert logged(found.run, METRICS)["evaluation/test/mae/mean"] == pytest.approx(0.15)


def test_runs_with_different_settings_give_a_warning(make_run, caplog, tmp_path):
    same = [make_run("a", 0.1, seed=0), make_run("b", 0.2, seed=1, description="other")]
    summarize_runs(same, split="test", output_dir=tmp_path / "same")
    assert caplog.text == ""
    other = make_run("c", 0.3, model__fusion_dim=16)
    summarize_runs([*same, other], split="test", output_dir=tmp_path / "out")
    assert "different settings (model.fusion_dim: 8, 16)" in caplog.text


def test_runs_of_equal_name_have_their_paths_as_names(make_run, tmp_path):
    runs = [make_run("a/run", 0.1), make_run("b/run", 0.2)]
    found = summarize_runs(runs, split="test", output_dir=tmp_path / "out")
    assert found.summary.runs.names == tuple(map(str, runs))


def test_a_run_that_is_given_twice_is_an_error(make_run, tmp_path):
    run = make_run("one", 0.1)
    with pytest.raises(RunError, match="one: this run is given twice"):
        summarize_runs([run], [run], split="test", output_dir=tmp_path / "out")


def test_a_summary_does_not_replace_another_run(make_run, tmp_path):
    run = make_run("one", 0.1)
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "events.jsonl").touch()
    with pytest.raises(RunError, match="used: contains another run"):
        summarize_runs([run], split="test", output_dir=tmp_path / "used")


def test_runs_of_an_experiment_are_found_here_or_downloaded(own_directory, make_run):
    mlflow.set_tracking_uri(f"sqlite:///{own_directory}/mlflow.db")
    client = MlflowClient()
    experiment_id = client.create_experiment("ocean")
    here, gone = make_run("here", 0.1), make_run("gone", 0.2)
    ids = []
    for path, run_dir in ((here, here), (gone, "/nowhere/gone")):
        run_id = client.create_run(
            experiment_id, tags={"run_dir": str(run_dir), "best_epoch": "1"}
        ).info.run_id
        client.log_artifacts(run_id, str(path))
        client.set_terminated(run_id, "FINISHED")
        ids.append(run_id)
    link = Link(tracking_uri="", experiment="ocean", run_name="", run_id=ids[0])
    write_link(RunDirectory(here).tracking_path, link)
    found = runs_of_experiment("ocean", "", download_dir=own_directory / "downloaded")
    assert found == [here, own_directory / "downloaded" / ids[1]]
    summary = summarize_runs(found, split="test", output_dir=own_directory / "out").summary
    assert summary.runs.means["mae"]["mean"].value == pytest.approx(0.15)
