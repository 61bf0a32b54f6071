"""Default directory of the figures of a comparison."""

from pathlib import Path

import pytest

from pipeline.commands.compare import folder_name


@pytest.mark.parametrize(
    ("run_a", "run_b", "name"),
    [("runs/one", "runs/other", "one-other"), ("x/run", "y/run", "x-run-y-run")],
)
def test_each_comparison_has_its_own_folder(run_a, run_b, name):
    assert folder_name(Path(run_a), Path(run_b)) == name
