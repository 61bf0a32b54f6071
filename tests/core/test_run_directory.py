"""A run has its directory for itself."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.errors import RunError
from pipeline.core.run_directory import RunDirectory, create_run_directory, open_run_directory


class TestCreate:
    def test_a_new_directory_is_made_where_it_is_asked_for(self, tmp_path):
        run = create_run_directory(tmp_path / "a" / "b", name="x", parent=tmp_path / "runs")
        assert run.path == tmp_path / "a" / "b"
        assert run.path.is_dir()
        assert not (tmp_path / "runs").exists()

    def test_an_empty_directory_is_taken(self, tmp_path):
        assert create_run_directory(tmp_path, name="x", parent=tmp_path).path == tmp_path

    def test_a_directory_with_a_file_in_it_is_refused_with_the_cure(self, tmp_path):
        (tmp_path / "config.yaml").touch()
        with pytest.raises(RunError, match=r"is not empty\. .* `python -m pipeline train --resume"):
            create_run_directory(tmp_path, name="x", parent=tmp_path)

    def test_a_file_in_its_place_is_refused(self, tmp_path):
        (tmp_path / "run").touch()
        with pytest.raises(RunError, match="run: exists and is not empty"):
            create_run_directory(tmp_path / "run", name="x", parent=tmp_path)

    def test_a_file_in_place_of_its_parent_is_refused_with_the_cure(self, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(RunError, match=r"file/run: cannot be made \(Not a directory\)\. Give"):
            create_run_directory(tmp_path / "file" / "run", name="x", parent=tmp_path)

    def test_the_path_is_absolute_so_that_it_outlives_a_change_of_directory(
        self, tmp_path, monkeypatch
    ):
        monkeypatch.chdir(tmp_path)
        run = create_run_directory(None, name="x", parent=Path("runs"))
        assert run.path.is_absolute()
        assert run.path.parent == tmp_path / "runs"

    def test_a_made_up_name_tells_time_and_experiment(self, tmp_path):
        run = create_run_directory(None, name="demo_late", parent=tmp_path)
        assert re.fullmatch(r"\d{8}-\d{6}-demo_late-[0-9a-f]{8}", run.path.name)

    def test_runs_of_one_second_have_directories_of_their_own(self, tmp_path):
        runs = {create_run_directory(None, name="x", parent=tmp_path).path for _ in range(50)}
        assert len(runs) == 50

    @pytest.mark.parametrize(
        ("name", "slug"),
        [
            ("a/b c", "a-b-c"),
            ("../../etc", "etc"),
            ("..", "run"),
            ("", "run"),
            ("Ablation: no dropout", "Ablation-no-dropout"),
            ("lr=1e-3", "lr-1e-3"),
            ("v1.2", "v1.2"),
            ("Persönlichkeit", "Persönlichkeit"),
        ],
    )
    def test_a_name_is_made_fit_for_a_path(self, tmp_path, name, slug):
        path = create_run_directory(None, name=name, parent=tmp_path).path
        assert path.parent == tmp_path
        assert re.fullmatch(rf"\d{{8}}-\d{{6}}-{re.escape(slug)}-[0-9a-f]{{8}}", path.name)

    @given(st.text(max_size=300))
    def test_no_name_leads_out_of_the_parent(self, tmp_path_factory, name):
        parent = tmp_path_factory.getbasetemp() / "parent"
        path = create_run_directory(None, name=name, parent=parent).path
        assert path.parent == parent.resolve()
        assert path.is_dir()


class TestOpen:
    def test_a_run_is_found(self, tmp_path):
        (tmp_path / "config.yaml").touch()
        assert open_run_directory(tmp_path) == RunDirectory(tmp_path)

    def test_a_missing_directory_is_refused(self, tmp_path):
        with pytest.raises(RunError, match=r"gone: there is no such run directory\."):
            open_run_directory(tmp_path / "gone")

    def test_a_directory_without_a_configuration_is_refused(self, tmp_path):
        with pytest.raises(RunError, match=r"holds no config\.yaml, so it is not a run directory"):
            open_run_directory(tmp_path)


class TestLock:
    def test_another_process_is_refused_until_the_first_has_ended(self, tmp_path):
        run = RunDirectory(tmp_path)
        with holder_of(tmp_path) as process:
            with pytest.raises(RunError, match="another process is writing to this run"):
                run.locked().__enter__()
            process.kill()  # however the holder ends, its lock ends with it
        with run.locked():
            pass

    def test_the_lock_is_given_back_when_the_block_raises(self, tmp_path):
        run = RunDirectory(tmp_path)
        with pytest.raises(RuntimeError, match="stop"), run.locked():
            raise RuntimeError("stop")
        with run.locked():
            pass

    def test_a_second_lock_in_the_same_process_is_refused(self, tmp_path):
        run = RunDirectory(tmp_path)
        with run.locked(), pytest.raises(RunError, match="is writing"):
            run.locked().__enter__()

    def test_what_a_kill_has_left_is_removed_except_in_nested_runs(self, tmp_path):
        run = RunDirectory(tmp_path)
        leftovers = (tmp_path / "figures", run.folds_dir / "0")
        for directory in leftovers:
            directory.mkdir(parents=True)
            (directory / ".loss.png.0123abcd.png").touch()
        with run.locked():
            pass
        assert [any(directory.iterdir()) for directory in leftovers] == [False, True]


def test_names_in_a_run_are_a_contract(tmp_path):
    run = RunDirectory(tmp_path)
    names = {
        attribute: getattr(run, attribute).relative_to(tmp_path).as_posix()
        for attribute in dir(run)
        if attribute.endswith(("_path", "_dir")) and attribute != "predictions_path"
    }
    contract = {
        "architecture_path": "architecture.json",
        "baselines_path": "baselines.npz",
        "checkpoints_dir": "checkpoints",
        "config_path": "config.yaml",
        "data_path": "data.json",
        "environment_path": "environment.json",
        "evaluation_path": "evaluation.json",
        "folds_dir": "folds",
        "input_example_path": "input_example.npz",
        "run_log_path": "events.jsonl",
        "learning_rate_dir": "lr_tracking",
        "metrics_dir": "batch_metrics",
        "model_path": "model.keras",
        "split_path": "split.csv",
        "summary_path": "summary.json",
        "time_dir": "time_tracking",
        "tracking_path": "mlflow.json",
    }
    assert names.items() >= contract.items()
    assert run.predictions_path("test") == tmp_path / "predictions" / "test.csv"


def holder_of(path: Path) -> subprocess.Popen[bytes]:
    """Start a process that holds the lock of a run directory; return once it has it."""
    code = (
        "import sys, time; from pathlib import Path\n"
        "from pipeline.core.run_directory import RunDirectory\n"
        "with RunDirectory(Path(sys.argv[1])).locked():\n"
        "    print('locked', flush=True); time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"locked\n"
    return process
