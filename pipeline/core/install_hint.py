"""The command that installs packages which only some commands need."""


def install_command(*extras: str) -> str:
    """Return the command that installs extras of this project, run in its directory."""
    return f"pip install -e '.[{','.join(extras)}]'"
