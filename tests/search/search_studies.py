"""Synthetic content of `study.json` files."""

import math
from typing import Any

import numpy as np

STARTED_MS = 1_700_000_000_000
NUM_EPOCHS = 9
NUM_WORKERS = 4

PARAMETERS: tuple[dict[str, Any], ...] = (
    {"name": "training.learning_rate", "kind": "float", "log": True, "low": 1e-5, "high": 1e-1},
    {"name": "model.fusion_dim", "kind": "categorical", "choices": [32, 64, 128, 256]},
    {"name": "model.dropout", "kind": "float", "low": 0.0, "high": 0.6},
    {"name": "training.schedule", "kind": "categorical", "choices": ["constant", "cosine", None]},
    {"name": "training.warmup_epochs", "kind": "int", "low": 1, "high": 5},
    {"name": "model.num_heads", "kind": "categorical", "choices": [1, 2, 4, 8]},
    {"name": "training.batch_size", "kind": "int", "log": True, "low": 8, "high": 256},
    {"name": "model.use_gate", "kind": "categorical", "choices": [True, False]},
    {"name": "model.hidden_dims", "kind": "categorical", "choices": [[64], [128, 64], [256, 128]]},
)
"""Parameters in descending order of importance. `warmup_epochs` needs a cosine schedule."""


def synthetic_study(
    num_trials: int = 40,
    *,
    num_parameters: int = 5,
    objectives: tuple[str, ...] = ("mae",),
    share_pruned: float = 0.25,
    share_failed: float = 0.05,
    diverged: tuple[float, ...] = (),
) -> dict[str, Any]:
    """Return the content of a `study.json`.

    The objectives are `mae` or `accuracy`, and optionally `weights`. The values in `diverged`
    replace the values of complete trials.
    """
    generator = np.random.default_rng(0)
    parameters = [
        {"log": False, "choices": None, "low": None, "high": None, **each}
        for each in PARAMETERS[:num_parameters]
    ]
    shares = (share_failed, share_failed + share_pruned * (len(objectives) == 1))
    trials = [
        _trial(number, parameters, objectives, generator, shares) for number in range(num_trials)
    ]
    complete = [trial for trial in trials if trial["state"] == "COMPLETE"]
    for trial, value in zip(complete[2:], diverged, strict=False):
        trial["values"][0] = value
        trial["intermediate"] = dict.fromkeys(trial["intermediate"], value)
    return {
        "study": "fusion search",
        "space": {},
        "parameters": parameters,
        "objectives": [
            {"name": name, "direction": "maximize" if name == "accuracy" else "minimize"}
            for name in objectives
        ],
        "trials": trials,
        **_importances(parameters, len(complete)),
    }


def _trial(
    number: int,
    parameters: list[dict[str, Any]],
    objectives: tuple[str, ...],
    generator: np.random.Generator,
    shares: tuple[float, float],
) -> dict[str, Any]:
    overrides = {each["name"]: _sample(each, generator) for each in parameters}
    if overrides.get("training.schedule") != "cosine":
        overrides.pop("training.warmup_epochs", None)
    width = overrides.get("model.fusion_dim", 64)
    rate = math.log10(overrides["training.learning_rate"])
    mae = 0.095 + 0.006 * (rate + 3) ** 2 + 0.3 / width + 0.002 * float(generator.normal())
    chance, state = (7 * number + 5) % 20 / 20, "COMPLETE"
    if chance < shares[1] and (number or shares[0] == 1):
        state = "FAIL" if chance < shares[0] else "PRUNED"
    num_epochs = NUM_EPOCHS if state == "COMPLETE" else int(generator.integers(1, NUM_EPOCHS - 2))
    curve = [mae + 0.06 * math.exp(-0.6 * epoch) for epoch in range(num_epochs)]
    first = [1 - value for value in curve] if objectives[0] == "accuracy" else curve
    values = [first[-1], 900.0 * width + 3.0 * width**2][: len(objectives)]
    reported = first if len(objectives) == 1 else []
    return {
        "number": number,
        "state": state,
        "values": values if state == "COMPLETE" else None,
        "overrides": overrides,
        "intermediate": {str(epoch): value for epoch, value in enumerate(reported, start=1)},
        "started_ms": STARTED_MS + 100_000 * (number // NUM_WORKERS),
        "seconds": 10.0 * num_epochs,
        "reason": "" if state == "COMPLETE" else state.lower(),
        "is_default": number == 0,
        "retry_of": None,
        "worker": f"node.example-{4000 + number % NUM_WORKERS}",
        "best_epochs": [num_epochs],
        "mlflow_run_id": "",
    }


def _sample(parameter: dict[str, Any], generator: np.random.Generator) -> Any:
    if parameter["choices"] is not None:
        return parameter["choices"][int(generator.integers(len(parameter["choices"])))]
    low, high = parameter["low"], parameter["high"]
    if parameter["log"]:
        value = math.exp(generator.uniform(math.log(low), math.log(high)))
    else:
        value = generator.uniform(low, high)
    return round(value) if parameter["kind"] == "int" else value


def _importances(parameters: list[dict[str, Any]], num_complete: int) -> dict[str, Any]:
    shares = np.array([0.5**rank for rank in range(1, len(parameters) + 1)])
    names = [parameter["name"] for parameter in parameters]
    importances = dict(zip(names, shares / shares.sum(), strict=True))
    if num_complete < 8:
        note = f"needs 8 complete trials; there are {num_complete}."
        return {"importances": None, "importances_note": note}
    return {"importances": {"ped_anova": importances}, "importances_note": ""}
