"""Train a model, evaluate it on held-out groups, and track the run in MLflow."""

import argparse
import re

from pipeline.commands.arguments import (
    FEATURE_FILES,
    LABEL_OPTIONS,
    add_features,
    add_label_options,
    add_path,
    add_verbose,
    feature_overrides,
)
from pipeline.commands.next_steps import after_training, print_next
from pipeline.core.errors import EXIT_INCOMPLETE, EXIT_OK, ConfigError

TAKES_OVERRIDES = True
EPILOG = (
    "Any setting can be given by its dotted name, for instance --training.num_epochs 20 or "
    "--model.num_heads 8."
)

_MOST_USED = (
    *("training.num_epochs", "training.batch_size", "training.learning_rate"),
    *("training.early_stopping_patience", "training.num_folds", "model.fusion"),
    *("model.fusion_dim", "model.dropout_rate", "seed", "tracking.run_name"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the parameters of the entry point."""
    add_path(parser, "config", "experiment: file (.yaml) or name, for instance first_impressions")
    add_features(parser)
    add_label_options(parser)
    add_path(parser, "run_dir", "new run directory (default: a new one in runs/)")
    add_path(parser, "resume", "run directory of an interrupted run to continue")
    add_path(parser, "output", "file for a copy of the model: .keras, .h5 or .weights.h5")
    add_verbose(parser)


def settings_help() -> str:
    """Return the most used settings with their defaults, and the command that lists all."""
    from pipeline.config.settings import experiment_sections

    settings = {each.name: each for section in experiment_sections() for each in section.settings}
    lines = ["most used settings, with their defaults:"]
    for name in _MOST_USED:
        setting = settings[name]
        option = f"--{name} {setting.default if setting.default != 'empty' else 'TEXT'}"
        meaning = re.split(r"[.,;] ", setting.meaning)[0].rstrip(".")
        lines.append(f"  {option:<37} {meaning}.")
    lines += [
        "Without --config, some of the defaults are chosen from the number of training clips.",
        "All settings: python -m pipeline config",
    ]
    return "\n".join(lines)


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from pipeline.commands.results import print_training
    from pipeline.commands.tables import print_device, print_groups, print_line
    from pipeline.commands.tracked_training import train_tracked
    from pipeline.config.loading import load_config
    from pipeline.core.model_path import check_model_path
    from pipeline.core.run_directory import open_run_directory
    from pipeline.core.tensorflow_import import import_tensorflow_quietly
    from pipeline.workflows.new_run import plan_run, with_environment

    # All inputs are checked before the slow import of TensorFlow.
    if arguments.output is not None:
        check_model_path(arguments.output)
    if arguments.resume is not None:
        _check_no_changes(arguments)
        open_run_directory(arguments.resume)
        import_tensorflow_quietly(runs_user_code=False)
        print_device()
        from pipeline.workflows.train import resume_training

        finished = resume_training(arguments.resume, output=arguments.output)
    else:
        overrides = with_environment({**feature_overrides(arguments), **arguments.overrides})
        config = load_config(arguments.config, overrides)
        plan = plan_run(
            config,
            given=overrides if arguments.config is None else None,
            base=load_config(arguments.config),
        )
        print_groups(plan.features)
        if plan.chosen:
            print_line(plan.chosen)
        finished = train_tracked(
            plan.config,
            run_dir=arguments.run_dir,
            output=arguments.output,
            features=plan.features,
            run_name=plan.run_name,
        )
    print_training(finished, arguments.output, is_verbose=arguments.verbose == "true")
    print_next(after_training(finished.run, has_test_clips=finished.has_test_clips))
    return EXIT_INCOMPLETE if finished.undelivered else EXIT_OK


def _check_no_changes(arguments: argparse.Namespace) -> None:
    names = ("config", "run_dir", "features_dir", *FEATURE_FILES, *LABEL_OPTIONS)
    given = [name for name in names if getattr(arguments, name)] + list(arguments.overrides)
    if given:
        raise ConfigError(
            f"--resume uses the configuration of the interrupted run; --{given[0]} would change "
            f"it. Omit --{given[0]}, or start a new run."
        )
