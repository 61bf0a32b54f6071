"""The configuration and the space of a search that is started without all options."""

import pytest

from pipeline.cli import parse
from pipeline.commands import search
from pipeline.config.loading import load_config
from pipeline.search import run as search_run
from pipeline.search.space.space_file import load_space


class StartedError(Exception):
    """Raised instead of a search."""


@pytest.fixture
def started_with(monkeypatch):
    """Return a function that parses a command line, and returns its configuration and space."""

    def run_search(config, space_path, options, **_):
        raise StartedError(config, space_path)

    monkeypatch.setattr(search_run, "run_search", run_search)

    def start(*argv):
        with pytest.raises(StartedError) as started:
            search.run(parse(["search", *map(str, argv)]))
        return started.value.args

    return start


def test_without_options_the_demo_space_is_searched(started_with):
    config, space_path = started_with()
    assert (config.name, space_path.name) == ("demo", "demo.yaml")


@pytest.mark.parametrize("option", ["--config", "--features_dir"])
def test_a_configuration_or_features_have_a_default_space(started_with, repository, option):
    value = repository / "experiments" / "first_impressions.yaml" if option == "--config" else "x"
    assert started_with(option, value)[1].stem == "cross_attention"


def test_a_given_space_is_searched(started_with, repository, tmp_path):
    config = repository / "experiments" / "demo.yaml"
    assert started_with("--config", config, "--space", tmp_path / "s.yaml")[1].name == "s.yaml"


def test_the_default_space_fits_every_experiment(started_with, repository):
    paths = sorted((repository / "experiments").glob("*.yaml"))
    paths += sorted((repository / "experiments" / "ablations").glob("*.yaml"))
    assert len(paths) > 2
    for path in paths:
        assert load_space(started_with("--config", path)[1], load_config(path)).parameters
