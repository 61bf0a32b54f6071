"""Tests mirror the packages of `pipeline`."""


def test_every_package_has_a_folder_of_tests(repository):
    packages = [path.parent.name for path in (repository / "pipeline").glob("*/__init__.py")]
    assert len(packages) > 10
    tested = {path.parent.name for path in (repository / "tests").glob("*/test_*.py")}
    assert set(packages) - tested == set()
