"""`config` lists settings, and generates docs/settings.md."""

import pytest

from pipeline.cli import main
from pipeline.commands.config import select_sections
from pipeline.core.errors import ConfigError


@pytest.fixture
def printed(capsys):
    """Return a function that runs `config` and returns its output."""

    def run(*argv):
        assert main(["config", *argv]) == 0
        return capsys.readouterr().out

    return run


def test_the_table_has_every_setting_in_100_columns(printed):
    shown = printed()
    assert max(map(len, shown.splitlines())) <= 100
    assert "early_stopping_patience" in shown
    assert "crop_px" in shown
    assert "\N{HORIZONTAL ELLIPSIS}" not in shown


def test_defaults_that_depend_on_the_number_of_clips_are_marked(printed):
    shown = printed("training.batch_size")
    assert "32 *" in shown
    assert "number of training" in " ".join(shown.split())
    assert "*" not in printed("training.huber_delta")


@pytest.mark.parametrize(
    ("name", "sections"),
    [
        ("training", ["training"]),
        ("data.synthetic", ["data.synthetic"]),
        ("synthetic", ["data.synthetic"]),
        ("extraction", ["extraction", "sampling", "faces", "static", "dynamic", "projection"]),
        ("model.num_heads", ["model"]),
        ("--model.num_heads", ["model"]),
        ("num_folds", ["training", "search"]),
    ],
)
def test_a_name_selects_a_section_or_settings(name, sections):
    assert [section.name for section in select_sections(name)] == sections


@pytest.mark.parametrize(
    ("name", "hint"),
    [("lr", "training.learning_rate"), ("trainng", "training"), ("zzz", "Omit the name")],
)
def test_an_unknown_name_is_an_error_with_the_nearest_name(name, hint):
    with pytest.raises(ConfigError, match=hint):
        select_sections(name)


def test_the_page_of_the_documentation_is_up_to_date(printed, repository):
    page = (repository / "docs" / "settings.md").read_text(encoding="utf-8")
    message = "run `python -m pipeline config --format markdown > docs/settings.md`"
    assert printed("--format", "markdown") == page, message


def test_the_help_of_train_ends_with_the_most_used_settings(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    lines = capsys.readouterr().out.rstrip().splitlines()
    assert "python -m pipeline config" in lines[-1]
    (start,) = [number for number, line in enumerate(lines) if line.startswith("most used")]
    settings = [line.split()[:2] for line in lines[start:] if line.startswith("  --")]
    assert len(settings) == 10
    assert ["--training.num_epochs", "50"] in settings
    assert max(map(len, lines)) <= 100, max(lines, key=len)
