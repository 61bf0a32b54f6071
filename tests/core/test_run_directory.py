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
    def test_the_given_directory_is_created(self, tmp_path):
        for _ in range(2):  # an empty directory is accepted
            run = create_run_directory(tmp_path / "a" / "b", name="x", parent=tmp_path / "runs")
            assert run.path == tmp_path / "a" / "b"
            assert run.path.is_dir()
        assert not (tmp_path / "runs").exists()

    @pytest.mark.parametrize(
        ("file", "path", "message"),
        [
            ("config.yaml", ".", r"is not empty\. .* `python -m pipeline train --resume"),
            ("run", "run", "run: exists and is not empty"),
            ("file", "file/run", r"file/run: cannot be created \(Not a directory\)\. Give"),
        ],
    )
    def test_a_path_in_use_is_an_error_with_the_fix(self, tmp_path, file, path, message):
        (tmp_path / file).touch()
        with pytest.raises(RunError, match=message):
            create_run_directory(tmp_path / path, name="x", parent=tmp_path)

    def test_new_directories_have_absolute_and_unique_paths(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        paths = {create_run_directory(None, name="x", parent=Path("runs")).path for _ in range(50)}
        assert len(paths) == 50
        assert {path.parent for path in paths} == {tmp_path / "runs"}

    @pytest.mark.parametrize(
        ("name", "slug"),
        [
            ("demo_late", "demo_late"),
            ("a/b c", "a-b-c"),
            ("../../etc", "etc"),
            ("..", "run"),
            ("", "run"),
            ("Ablation: no dropout", "Ablation-no-dropout"),
            ("v1.2", "v1.2"),
            ("Persönlichkeit", "Persönlichkeit"),
        ],
    )
    def test_a_new_name_has_the_time_and_the_name_of_the_run(self, tmp_path, name, slug):
        path = create_run_directory(None, name=name, parent=tmp_path).path
        assert path.parent == tmp_path
        assert re.fullmatch(rf"\d{{8}}-\d{{6}}-{re.escape(slug)}-[0-9a-f]{{8}}", path.name)

    @given(st.text(max_size=300))
    def test_no_name_leads_out_of_the_parent(self, tmp_path_factory, name):
        parent = tmp_path_factory.getbasetemp() / "parent"
        path = create_run_directory(None, name=name, parent=parent).path
        assert path.parent == parent.resolve()
        assert path.is_dir()


def test_only_a_directory_with_a_configuration_is_opened(tmp_path):
    with pytest.raises(RunError, match=r"gone: there is no such run directory\."):
        open_run_directory(tmp_path / "gone")
    with pytest.raises(RunError, match=r"contains no config\.yaml"):
        open_run_directory(tmp_path)
    (tmp_path / "config.yaml").touch()
    assert open_run_directory(tmp_path) == RunDirectory(tmp_path)


class TestLock:
    def test_the_lock_of_another_process_ends_with_the_process(self, tmp_path):
        run = RunDirectory(tmp_path)
        with start_lock_holder(tmp_path) as process:
            with pytest.raises(RunError, match="another process is writing to this run"):
                run.locked().__enter__()
            process.kill()
        with run.locked():
            pass

    def test_the_lock_is_exclusive_and_ends_with_the_block(self, tmp_path):
        run = RunDirectory(tmp_path)

        def fail():
            with run.locked():
                with pytest.raises(RunError, match="is writing"):
                    run.locked().__enter__()
                raise RuntimeError("stop")

        for _ in range(2):
            with pytest.raises(RuntimeError, match="stop"):
                fail()

    def test_temporary_files_are_removed_except_in_nested_runs(self, tmp_path):
        run = RunDirectory(tmp_path)
        directories = (tmp_path / "figures", run.folds_dir / "0")
        for directory in directories:
            directory.mkdir(parents=True)
            (directory / ".loss.png.0123abcd.png").touch()
        with run.locked():
            pass
        assert [any(directory.iterdir()) for directory in directories] == [False, True]


def test_the_file_names_do_not_change(tmp_path):
    run = RunDirectory(tmp_path)
    names = {
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
    assert {name: getattr(run, name) for name in names} == {
        name: tmp_path / file for name, file in names.items()
    }
    assert run.predictions_path("test") == tmp_path / "predictions" / "test.csv"


def start_lock_holder(path: Path) -> subprocess.Popen[bytes]:
    """Start a process that locks a run directory, and return after it has the lock."""
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
