"""List the packages of the wheel. All other settings are in pyproject.toml."""

from setuptools import find_packages, setup

# The experiment files are at the top level of the repository and inside the package in the wheel.
setup(
    packages=[*find_packages(include=["pipeline", "pipeline.*"]), "pipeline.experiments"],
    package_dir={"pipeline.experiments": "experiments"},
)
