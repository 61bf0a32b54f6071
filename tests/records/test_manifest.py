import contextlib

import pytest

from pipeline.core.errors import RunError
from pipeline.core.run_directory import RunDirectory
from pipeline.records.manifest import check_files, forget_files, record_files


@pytest.fixture
def run(tmp_path):
    run = RunDirectory(tmp_path / "run")
    run.path.mkdir()
    run.config_path.write_text("weight_decay: 0.3\n")
    run.split_path.write_text("clip_id,group,split\n")
    record_files(run, run.config_path, run.split_path)
    return run


def test_a_changed_file_is_an_error_even_if_it_is_valid(run):
    run.config_path.write_text("weight_decay: 0.1\n")
    check_files(run, run.split_path)
    with pytest.raises(RunError, match=r"config\.yaml: is not as .* wrote it.* start a new run"):
        check_files(run, run.split_path, run.config_path)


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir()])
def test_a_missing_file_is_an_error(run, make):
    run.split_path.unlink()
    make(run.split_path)
    with pytest.raises(RunError, match=r"split\.csv: is not as the run wrote it"):
        check_files(run, run.split_path)


def test_a_file_without_hash_is_not_checked(run):
    run.summary_path.write_text("{}")
    check_files(run, run.summary_path)


def test_a_run_without_manifest_is_not_checked(run):
    run.manifest_path.unlink()
    run.config_path.write_text("weight_decay: 0.1\n")
    check_files(run, run.config_path)


def test_a_new_version_of_a_file_gets_a_new_hash(run):
    forget_files(run, run.config_path)
    run.config_path.write_text("weight_decay: 0.1\n")
    check_files(run, run.config_path)  # the process may be killed here
    record_files(run, run.config_path)
    check_files(run, run.config_path, run.split_path)


def test_every_flipped_bit_of_the_manifest_is_an_error(run):
    content = run.manifest_path.read_bytes()
    for bit in range(8 * len(content)):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        run.manifest_path.write_bytes(flipped)
        with contextlib.suppress(RunError):
            check_files(run, run.config_path, run.split_path)
            continue
        with pytest.raises(RunError, match=r"manifest\.json: cannot be read"):
            check_files(run, run.config_path, run.split_path)
