"""Everything that stands in a report, ready for a template that only lays it out."""

from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.report.caveats import Doubt, find_doubts
from pipeline.report.images import (
    TIME_FOLDER,
    Chapter,
    MissingPicture,
    Picture,
    chapters,
    titles_by_reason,
)
from pipeline.report.interval_bars import Strip, interval_strips
from pipeline.report.loading import Recommendation, RunRecords
from pipeline.report.model_card import BIAS_SOURCES, CardEntry, Citation, model_card
from pipeline.report.reproduce import Recipe, recipes
from pipeline.report.run_tables import (
    breakdown_table,
    config_table,
    environment_table,
    time_table,
)
from pipeline.report.summary import headline, summarize
from pipeline.report.tables import (
    Table,
    baseline_tables,
    coverage_tables,
    subgroup_tables,
    trait_table,
)
from pipeline.report.wording import listing


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportContent:
    """One report; empty parts are left out of the page."""

    title: str
    """Name of the experiment."""
    run_name: str
    """Name of the run directory."""
    description: str
    """What the experiment is for."""
    headline: str
    """The result in one line."""
    summary: tuple[str, ...]
    """The run in words, by paragraph."""
    strips: tuple[Strip, ...]
    """The headline metrics beside those of the baselines."""
    interval_name: str
    """What the intervals are called."""
    problems: tuple[str, ...]
    """What is missing or damaged, one line each."""
    doubts: tuple[Doubt, ...]
    """What to distrust, the serious first."""
    scores: tuple[Table, ...]
    baselines: tuple[Table, ...]
    subgroups: tuple[Table, ...]
    chapters: tuple[Chapter, ...]
    """The figures by folder, without those of time."""
    time_chapter: Chapter | None
    times: tuple[Table, ...]
    recommendations: tuple[Recommendation, ...] | None
    """What would make training faster; None where it was not looked for."""
    card: tuple[CardEntry, ...]
    sources: tuple[Citation, ...]
    config: Table | None
    environment: Table | None
    recipes: tuple[Recipe, ...]

    @property
    def has_time(self) -> bool:
        """Whether there is anything to say of time."""
        return bool(self.times or self.recommendations is not None or self.time_chapter)


def report_content(
    records: RunRecords,
    *,
    pictures: Iterable[Picture] = (),
    missing_pictures: Iterable[MissingPicture] = (),
    problems: Iterable[str] = (),
) -> ReportContent:
    """Put together what the report of a run says.

    Args:
        records: What the run directory says.
        pictures: The figures, in the order in which they are shown.
        missing_pictures: The figures that could not be drawn.
        problems: What else is missing or damaged, one line each.
    """
    missing = tuple(missing_pictures)
    by_folder = chapters(tuple(pictures), missing)
    time_chapters = [chapter for chapter in by_folder if chapter.folder == TIME_FOLDER]
    evaluation, config, times = records.evaluation, records.config, records.time_logs
    return ReportContent(
        title=_title(records),
        run_name=records.name,
        description=" ".join(config.description.split()) if config is not None else "",
        headline=headline(records),
        summary=summarize(records),
        strips=interval_strips(evaluation) if evaluation is not None else (),
        interval_name=evaluation.interval_name if evaluation is not None else "",
        problems=tuple(dict.fromkeys((*records.problems, *problems, *_faults(missing)))),
        doubts=find_doubts(records),
        scores=_score_tables(records),
        baselines=baseline_tables(evaluation) if evaluation is not None else (),
        subgroups=subgroup_tables(evaluation) if evaluation is not None else (),
        chapters=tuple(chapter for chapter in by_folder if chapter.folder != TIME_FOLDER),
        time_chapter=time_chapters[0] if time_chapters else None,
        times=_present(time_table(times), breakdown_table(times)) if times is not None else (),
        recommendations=records.recommendations,
        card=model_card(records),
        sources=BIAS_SOURCES,
        config=config_table(config) if config is not None else None,
        environment=environment_table(records),
        recipes=recipes(records),
    )


def _title(records: RunRecords) -> str:
    if records.config is not None:
        return records.config.name
    return records.summary.name if records.summary is not None else records.name


def _score_tables(records: RunRecords) -> tuple[Table, ...]:
    evaluation, features = records.evaluation, records.features
    if evaluation is None:
        return ()
    traits = features.traits if features is not None else ()
    return (trait_table(evaluation, traits), *coverage_tables(evaluation))


def _faults(missing: Iterable[MissingPicture]) -> tuple[str, ...]:
    reasons = titles_by_reason(picture for picture in missing if picture.is_fault)
    return tuple(f"{reason} Not drawn: {listing(titles)}." for reason, titles in reasons.items())


def _present(*tables: Table | None) -> tuple[Table, ...]:
    return tuple(table for table in tables if table is not None)
