"""Names of the metrics in MLflow.

The run log keeps its own names, for instance `validation/ccc/openness`. MLflow sorts metrics by
name, and groups their charts by the text before the last slash. The names in MLflow are chosen
so that the result comes first, training and validation share a group, and a narrow chart shows the
whole name. SPLIT is `val`, `test` or `all`:

| MLflow | Content | Run log |
|---|---|---|
| `eval/SPLIT/accuracy`, `r2` | scores of the saved model, mean over traits | \
`evaluation/SPLIT/METRIC/mean` |
| `eval/SPLIT/r2_ridge` | R² of ridge regression on the same clips | `reference/SPLIT/r2/ridge` |
| `loss/train`, `loss/val` | loss of each epoch | `train/loss`, `validation/loss` |
| `more/SPLIT/NAME` | other scores of the saved model and of ridge regression: ccc, mae, mse, pcc, \
interval coverage and width, errors in original units | `evaluation/SPLIT/NAME/mean`, \
`reference/SPLIT/METRIC/ridge` |
| `per_epoch/METRIC/train`, `val` | metrics of each epoch, mean over traits | \
`train/METRIC/mean`, `validation/METRIC/mean` |
| `per_trait/SPLIT/accuracy/TRAIT`, `ccc` | scores of the saved model per trait, also errors in \
original units | `evaluation/SPLIT/METRIC/TRAIT` |
| `reference/SPLIT/accuracy/NAME`, `r2` | scores of the other baselines | \
`reference/SPLIT/METRIC/NAME` |
| `speed/NAME` | seconds per epoch, milliseconds per training step, wait for data | `time/NAME` |
| `step/loss`, `step/learning_rate` | values of single training steps | `batch/NAME` |
| `usage/NAME` | use of CPU and memory | `system/NAME` |

During training, `eval/val` contains the scores of the newest epoch. At the end of the run, the
scores of the saved model replace them. The other values of these groups, for instance the metrics
of each trait in each epoch, are only in the files of the run. All other metrics, for instance
`search/mae`, have the same name in MLflow as in the run log.
"""

import re
from typing import Final

HEADLINE_METRICS: Final = ("accuracy", "r2")
"""Metrics that MLflow lists first."""

_SHORT_SPLITS: Final = {"validation": "val"}
_RULES: Final = (
    (r"evaluation/(?P<split>[^/]+)/(?P<a>accuracy|r2)/mean", r"eval/{split}/{a}"),
    (r"reference/(?P<split>[^/]+)/r2/ridge", "eval/{split}/r2_ridge"),
    (r"reference/(?P<split>[^/]+)/(?P<a>accuracy|ccc)/ridge", "more/{split}/{a}_ridge"),
    (r"evaluation/(?P<split>[^/]+)/(?P<a>[^/]+)/mean", "more/{split}/{a}"),
    (
        r"evaluation/(?P<split>[^/]+)/(?P<a>accuracy|ccc|\w+_original)/(?P<b>[^/]+)",
        "per_trait/{split}/{a}/{b}",
    ),
    (
        r"reference/(?P<split>[^/]+)/(?P<a>accuracy|r2)/(?P<b>[^/]+)",
        "reference/{split}/{a}/{b}",
    ),
    (r"(?P<split>train|validation)/loss", "loss/{split}"),
    (r"(?P<split>train|validation)/(?P<a>[^/]+)/mean", "per_epoch/{a}/{split}"),
    (r"time/(?P<a>epoch_seconds|step_ms_median|input_wait_seconds)", "speed/{a}"),
    (r"batch/(?P<a>loss|learning_rate)", "step/{a}"),
    (r"system/(?P<a>.+)", "usage/{a}"),
)
"""Pattern of a name in the run log, and the name in MLflow. The first match counts."""

_LEFT_OUT: Final = re.compile("(evaluation|reference|train|validation|time|batch)/.*")
_OF_MODEL: Final = re.compile(r"(?:eval|more|per_trait)/([^/]+)/(?!.*_ridge$)")


def mlflow_name(name: str) -> str | None:
    """Return the name in MLflow of a metric of the run log; None if MLflow does not get it."""
    for pattern, replacement in _RULES:
        if found := re.fullmatch(pattern, name):
            parts = found.groupdict()
            if split := parts.get("split"):
                parts["split"] = _SHORT_SPLITS.get(split, split)
            return replacement.format(**parts)
    return None if _LEFT_OUT.fullmatch(name) else name


def split_of_model_score(name: str) -> str | None:
    """Return the split of a score of the saved model, by its name in MLflow; None for others."""
    found = _OF_MODEL.match(name)
    if found is None:
        return None
    return next((long for long, short in _SHORT_SPLITS.items() if short == found[1]), found[1])
