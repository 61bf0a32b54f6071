"""Studies as a search writes them, made from a formula: no pictures of the product's own runs."""

import math
from typing import Any

import numpy as np

STARTED_MS = 1_700_000_000_000
NUM_EPOCHS = 9

PARAMETERS: tuple[dict[str, Any], ...] = (
    {"name": "training.learning_rate", "kind": "float", "log": True, "low": 1e-5, "high": 1e-1},
    {"name": "model.fusion_dim", "kind": "categorical", "choices": [32, 64, 128, 256]},
    {"name": "model.dropout", "kind": "float", "low": 0.0, "high": 0.6},
    {"name": "training.schedule", "kind": "categorical", "choices": ["constant", "cosine", None]},
    {"name": "training.warmup_epochs", "kind": "int", "low": 1, "high": 5},
    {"name": "model.num_heads", "kind": "categorical", "choices": [1, 2, 4, 8]},
    {"name": "model.num_layers", "kind": "int", "low": 1, "high": 6},
    {"name": "training.weight_decay", "kind": "float", "log": True, "low": 1e-6, "high": 1e-2},
    {"name": "training.batch_size", "kind": "int", "log": True, "low": 8, "high": 256},
    {"name": "model.use_gate", "kind": "categorical", "choices": [True, False]},
    {"name": "model.hidden_dims", "kind": "categorical", "choices": [[64], [128, 64], [256, 128]]},
    {
        "name": "training.augmentation.dynamic_stream_temporal_masking_probability",
        "kind": "float",
        "low": 0.0,
        "high": 0.5,
    },
)
"""What is searched, the most important first; `warmup_epochs` only with a cosine schedule."""


def synthetic_study(
    num_trials: int = 40,
    *,
    num_parameters: int = 5,
    objectives: tuple[str, ...] = ("mae",),
    share_pruned: float = 0.25,
    share_failed: float = 0.05,
    diverged: tuple[float, ...] = (),
    num_workers: int = 4,
    pause_seconds: float = 0.0,
    with_default: bool = True,
    seed: int = 0,
) -> dict[str, Any]:
    """Return the content of a `study.json`.

    Args:
        num_trials: Trials, pruned and failed ones among them.
        num_parameters: How many of `PARAMETERS` are searched.
        objectives: `mae` or `accuracy`, and `weights` or `latency_ms` for a second one.
        share_pruned: Share of the trials that are stopped early, with one objective.
        share_failed: Share of the trials that fail.
        diverged: Values that replace those of as many complete trials.
        num_workers: Workers that trials are given to.
        pause_seconds: Break in the middle of the search.
        with_default: Whether the first trial is the default configuration.
        seed: Seed of everything.
    """
    draw = np.random.default_rng(seed)
    parameters = [
        {"log": False, "choices": None, "low": None, "high": None, **each}
        for each in PARAMETERS[:num_parameters]
    ]
    free_at = [0.0] * num_workers
    trials = [
        _trial(number, parameters, objectives, draw, free_at, share_pruned, share_failed)
        for number in range(num_trials)
    ]
    for trial in trials[num_trials // 2 :]:
        trial["started_ms"] += round(1000 * pause_seconds)
    if with_default and trials:
        trials[0] |= {"is_default": True}
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
        **_conclusions(complete, parameters, objectives),
    }


def _trial(
    number: int,
    parameters: list[dict[str, Any]],
    objectives: tuple[str, ...],
    draw: np.random.Generator,
    free_at: list[float],
    share_pruned: float,
    share_failed: float,
) -> dict[str, Any]:
    overrides = {each["name"]: _drawn(each, draw) for each in parameters}
    if overrides.get("training.schedule") != "cosine":
        overrides.pop("training.warmup_epochs", None)
    mae = _mae(overrides) + 0.002 * float(draw.normal())
    chance, state = draw.random(), "COMPLETE"
    if number and chance < share_failed:
        state = "FAIL"
    elif number and chance < share_failed + share_pruned and len(objectives) == 1:
        state = "PRUNED"
    elif share_failed == 1.0:
        state = "FAIL"
    num_epochs = NUM_EPOCHS if state == "COMPLETE" else int(draw.integers(1, NUM_EPOCHS - 2))
    curve = [mae + 0.06 * math.exp(-0.6 * epoch) for epoch in range(num_epochs)]
    sign = -1 if objectives[0] == "accuracy" else 1
    first = [1 + sign * value if sign < 0 else value for value in curve]
    second = [_cost(objectives[1], overrides)] if len(objectives) == 2 else []
    worker = int(np.argmin(free_at))
    began, seconds = free_at[worker], float(draw.uniform(8, 12)) * num_epochs
    free_at[worker] += seconds + 2.0
    return {
        "number": number,
        "state": state,
        "values": [first[-1], *second] if state == "COMPLETE" else None,
        "overrides": overrides,
        "intermediate": {}
        if len(objectives) == 2
        else {str(epoch + 1): value for epoch, value in enumerate(first)},
        "started_ms": STARTED_MS + round(1000 * began),
        "seconds": seconds,
        "reason": "" if state == "COMPLETE" else state.lower(),
        "is_default": False,
        "retry_of": None,
        "worker": f"a-machine-of-the-cluster.example-{4000 + worker}",
        "best_epochs": [num_epochs],
        "mlflow_run_id": "",
    }


def _drawn(parameter: dict[str, Any], draw: np.random.Generator) -> Any:
    if parameter["choices"] is not None:
        return parameter["choices"][int(draw.integers(len(parameter["choices"])))]
    low, high = parameter["low"], parameter["high"]
    value = (
        math.exp(draw.uniform(math.log(low), math.log(high)))
        if parameter["log"]
        else draw.uniform(low, high)
    )
    return round(value) if parameter["kind"] == "int" else value


def _mae(overrides: dict[str, Any]) -> float:
    rate = math.log10(overrides.get("training.learning_rate", 1e-3))
    width = overrides.get("model.fusion_dim", 64)
    dropout = overrides.get("model.dropout", 0.2)
    return 0.095 + 0.006 * (rate + 3) ** 2 + 0.3 / width + 0.03 * (dropout - 0.25) ** 2


def _cost(name: str, overrides: dict[str, Any]) -> float:
    width = overrides.get("model.fusion_dim", 64)
    return 900.0 * width + 3.0 * width**2 if name == "weights" else 2.0 + width / 40


def _conclusions(
    complete: list[dict[str, Any]], parameters: list[dict[str, Any]], objectives: tuple[str, ...]
) -> dict[str, Any]:
    sign = -1 if objectives[0] == "accuracy" else 1
    ranked = sorted(complete, key=lambda trial: (sign * trial["values"][0], *trial["values"][1:]))
    front: list[dict[str, Any]] = []
    for trial in ranked:
        if all(trial["values"][-1] < other["values"][-1] for other in front) or not front:
            front.append(trial)
    shares = np.array([0.5**place for place in range(1, len(parameters) + 1)])
    importances = {
        "ped_anova": dict(zip((p["name"] for p in parameters), shares / shares.sum(), strict=True)),
        "fanova": dict(
            zip((p["name"] for p in parameters), shares**0.7 / (shares**0.7).sum(), strict=True)
        ),
    }
    is_enough = len(complete) >= 8
    return {
        "importances": importances if is_enough else None,
        "importances_note": ""
        if is_enough
        else f"needs 8 complete trials; there are {len(complete)}.",
        "best": {"number": ranked[0]["number"]} if ranked else None,
        "pareto": sorted(trial["number"] for trial in front),
    }
