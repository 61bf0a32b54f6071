import contextlib
import re
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
    def test_any_name_gives_a_directory_in_the_parent(self, tmp_path_factory, name):
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
    def test_the_lock_is_exclusive_and_ends_with_the_block(self, tmp_path):
        run = RunDirectory(tmp_path)
        for _ in range(2):
            with contextlib.suppress(KeyError), run.locked():
                with pytest.raises(RunError, match="another process is writing to this run"):
                    run.locked().__enter__()
                raise KeyError

    def test_temporary_files_are_removed_except_in_nested_runs(self, tmp_path):
        run = RunDirectory(tmp_path)
        directories = (tmp_path / "figures", run.folds_dir / "0")
        for directory in directories:
            directory.mkdir(parents=True)
            (directory / ".loss.png.0123abcd.png").touch()
        with run.locked():
            pass
        assert [any(directory.iterdir()) for directory in directories] == [False, True]


def test_the_file_names_do_not_change(tmp_path):  # `train` tests the names of the other files
    run = RunDirectory(tmp_path)
    paths = (run.architecture_path, run.input_example_path, run.predictions_path("test"))
    names = ("architecture.json", "input_example.npz", "predictions/test.csv")
    assert paths == tuple(tmp_path / name for name in names)
