from pathlib import Path

import pytest

from pipeline.commands.compare import _folder_name


@pytest.mark.parametrize(
    ("run_a", "run_b", "name"),
    [("runs/one", "runs/other", "one-other"), ("x/run", "y/run", "x-run-y-run")],
)
def test_comparisons_have_a_folder_of_their_own(run_a, run_b, name):
    assert _folder_name(Path(run_a), Path(run_b)) == name
