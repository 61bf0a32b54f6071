"""Where the runs of a study are kept."""

from pipeline.core.run_directory import RunDirectory
from pipeline.search.job import SearchJob


def trial_directory(job: SearchJob, number: int) -> RunDirectory:
    """Return the run directory of a trial."""
    return RunDirectory(job.run.trials_dir / f"trial-{number:04d}")
