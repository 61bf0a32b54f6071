"""Room for a feature set of many files: each stays open as long as it is mapped."""

from pathlib import Path
from typing import Final

from pipeline.core.errors import FeatureSetError

_OTHERS: Final = 512
"""Files that the rest of a process may have open: libraries, logs, a store, workers."""


def make_room_for(num_files: int, features_dir: Path) -> None:
    """Let this process have so many more files open than systems allow at first, often 1024.

    Args:
        num_files: Files that will be mapped.
        features_dir: Where they are, or the last of them.

    Raises:
        FeatureSetError: If the system does not allow it.
    """
    try:
        import resource
    except ImportError:  # not on Windows, which has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = num_files + _OTHERS
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise FeatureSetError(
            f"{features_dir}: the set has {num_files} files, which are to be open at once, and "
            f"the system allows {hard} in all. Raise the limit (`ulimit -Hn`), or use fewer shards."
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
