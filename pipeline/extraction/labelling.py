"""Which clips are annotated, and with which scores."""

from pipeline.core.arrays import FloatArray
from pipeline.core.errors import ExtractionError
from pipeline.data.prepare import join_annotations
from pipeline.data.readers.annotations import Annotations
from pipeline.extraction.sources import ClipSource
from pipeline.extraction.worker import Result


def find_labels(
    sources: list[ClipSource], annotations: Annotations | None
) -> tuple[list[ClipSource], dict[str, FloatArray], list[Result]]:
    """Find the scores of each clip before any work is done on it.

    Returns:
        The clips that are annotated; clip id -> scores in OCEAN order, shape (5,); and the
        other clips, as failures. Without annotations: all clips and no scores.

    Raises:
        ExtractionError: If no clip is annotated.
        AnnotationError: If two clips have names that are one in the annotations.
    """
    if annotations is None:
        return sources, {}, []
    joined = join_annotations(annotations, [each.clip_id for each in sources])
    labelled = [each for each, found in zip(sources, joined.is_labelled, strict=True) if found]
    if not labelled:
        raise ExtractionError(
            f"none of the {len(sources)} clips is annotated. The first is {joined.nearest}. "
            f"Check that the files and the annotations spell the names alike."
        )
    scores = {
        source.clip_id: row
        for source, row, found in zip(sources, joined.labels, joined.is_labelled, strict=True)
        if found
    }
    reason = "no annotation file has scores for it"
    return (
        labelled,
        scores,
        [
            Result(clip_id=clip_id, stage="annotation", reason=reason)
            for clip_id in joined.unlabelled
        ],
    )
