"""A report is put together from whatever there is."""

from pipeline.core.run_directory import RunDirectory
from pipeline.core.traits import FIRST_IMPRESSIONS, traits_entry
from pipeline.report.content import report_content
from pipeline.report.loading import load_records


def test_the_direction_of_a_trait_stands_beside_its_scores(records_with):
    records = records_with(data=traits_entry(FIRST_IMPRESSIONS))
    assert "scored in reverse" in report_content(records).scores[0].note


def test_a_whole_run_fills_every_part(records_with, picture_with):
    content = report_content(records_with(), pictures=[picture_with()])

    assert (content.title, content.run_name) == ("example", "a-run")
    assert content.description == "What it is for."
    assert content.problems == ()
    assert len(content.summary) == 3
    assert [len(part) for part in (content.scores, content.baselines, content.strips)] == [2, 3, 2]
    assert content.config is not None
    assert content.environment is not None
    assert content.recommendations[0].issue == "Waiting for data"


def test_an_empty_run_directory_still_makes_a_report(tmp_path):
    content = report_content(load_records(RunDirectory(tmp_path / "a-run")))

    assert content.title == "a-run"
    assert len(content.problems) == 8
    assert content.headline == "No scores on held-out clips are known"
    assert not content.has_time
    assert content.config is None


def test_the_figures_of_time_stand_with_the_times(records_with, picture_with):
    time = picture_with(folder="training_time_analysis")

    content = report_content(records_with(times=None), pictures=[picture_with(), time])

    assert content.time_chapter.pictures == (time,)
    assert [chapter.folder for chapter in content.chapters] == ["training_visualizations"]
    assert content.has_time


def test_figures_lost_to_one_damaged_file_are_one_problem(records_with, missing_picture_with):
    reason = "time_logs.json: cannot be read as JSON."
    missing = [
        missing_picture_with(title=title, reason=reason, is_fault=True)
        for title in ("Epochs", "Steps")
    ]

    content = report_content(records_with(), missing_pictures=missing, problems=["No run log."])

    assert content.problems == ("No run log.", f"{reason} Not drawn: Epochs and Steps.")


def test_a_figure_with_nothing_to_show_is_no_problem(records_with, missing_picture_with):
    content = report_content(records_with(), missing_pictures=[missing_picture_with()])

    assert content.problems == ()
    assert content.chapters[0].missing[0].title == "Entropy"


def test_the_description_is_one_line(records_with, contents):
    contents["config.yaml"]["description"] = "Two\n  lines.\n"

    assert report_content(records_with(config=contents["config.yaml"])).description == "Two lines."
