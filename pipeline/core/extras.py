"""How packages are installed that only some commands need."""


def install_command(*extras: str) -> str:
    """Return the command that installs extras of this project, given in its directory."""
    return f"pip install -e '.[{','.join(extras)}]'"
