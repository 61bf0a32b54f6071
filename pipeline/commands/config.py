"""List the settings of experiments and extractions: type, default, range and meaning."""

import argparse
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Final

from pipeline.core.errors import EXIT_OK, ConfigError

if TYPE_CHECKING:
    from pipeline.config.settings import Setting, SettingSection

TAKES_OVERRIDES = False
EPILOG = (
    "SECTION is a section such as training or data.synthetic, or `extraction` for all settings of "
    "`extract`. NAME is a setting such as training.num_epochs or num_epochs."
)

_WIDTH: Final = 100
_INTRODUCTION: Final = (
    "Give a setting on the command line, for instance `--training.num_epochs 20`, with "
    "`mlflow run . -P training.num_epochs=20`, or in a configuration file. The commands `main`, "
    "`train`, `search` and `verify` read the settings of an experiment. The last sections, from "
    "`extraction`, are the settings of `extract`."
)
_CHOSEN: Final = (
    "* Without a configuration file, `train` chooses these values from the number of training "
    "clips, and prints them."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the parameters of the command."""
    parser.add_argument(
        "name",
        nargs="?",
        default="",
        metavar="SECTION|NAME",
        help="settings to list (default: all)",
    )
    parser.add_argument(
        "--format",
        default="table",
        choices=("table", "markdown"),
        help="format of the list (default: table)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from pipeline.config.size_defaults import settings_for_size

    sections = select_sections(arguments.name)
    chosen = settings_for_size(1)
    if arguments.format == "markdown":
        from pipeline.commands.tables import print_line

        print_line(markdown_page(sections, chosen=chosen))
    else:
        _print_tables(sections, chosen)
    return EXIT_OK


def select_sections(name: str) -> tuple["SettingSection", ...]:
    """Return the sections and settings with a name. An empty name selects everything.

    Raises:
        ConfigError: If there is no section and no setting with this name.
    """
    import dataclasses

    from pipeline.config.settings import experiment_sections, extraction_sections
    from pipeline.core.near_names import nearest_setting

    extraction = extraction_sections()
    sections = (*experiment_sections(), *extraction)
    name = name.removeprefix("--").strip(".")
    if not name:
        return sections
    if name == "extraction":
        return extraction
    if found := tuple(each for each in sections if each.name in (name, f"data.{name}")):
        return found
    selected = []
    for section in sections:
        settings = tuple(
            each for each in section.settings if name in (each.name, each.name.rpartition(".")[2])
        )
        if settings:
            selected.append(dataclasses.replace(section, settings=settings))
    if not selected:
        known = [each.name for section in sections for each in section.settings]
        near = nearest_setting(name, [*known, *(section.name for section in sections)])
        hint = f"Did you mean {near}?" if near else "Omit the name to list all settings."
        raise ConfigError(f"config {name}: there is no such section or setting. {hint}")
    return tuple(selected)


def markdown_page(sections: Sequence["SettingSection"], *, chosen: Collection[str]) -> str:
    """Return the settings as Markdown, one table per section."""
    lines = ["# Settings", "", "<!-- Written by `python -m pipeline config --format markdown`. -->"]
    lines += ["", _INTRODUCTION]
    for section in sections:
        lines += ["", f"## {section.name}", "", section.summary, ""]
        lines += [
            "| setting | type | default | range | meaning |",
            "| --- | --- | --- | --- | --- |",
        ]
        for each in section.settings:
            default = _default(each, chosen).replace("*", r"\*")
            cells = (f"`{each.name}`", each.kind, default, each.allowed, each.meaning)
            lines.append("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |")
    return "\n".join([*lines, "", _CHOSEN.replace("*", r"\*", 1)])


def _print_tables(sections: Sequence["SettingSection"], chosen: Collection[str]) -> None:
    import rich.box
    import rich.console
    import rich.table

    console = rich.console.Console(width=_WIDTH, highlight=False)
    for section in sections:
        # Dotted names would leave little room for the meaning, so the title contains the section.
        names = {each.name: each.name.rpartition(".")[2] for each in section.settings}
        prefix = section.settings[0].name.rpartition(".")[0]
        option = f"--{prefix}.NAME VALUE" if prefix else "--NAME VALUE"
        console.print(
            f"{section.name}: {section.summary}\n  {option}", markup=False, soft_wrap=True
        )
        table = rich.table.Table(box=rich.box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
        table.add_column("NAME", no_wrap=True)
        table.add_column("type and range", max_width=22)
        table.add_column("default", max_width=16, overflow="fold")
        table.add_column("meaning", ratio=1)
        for each in section.settings:
            kind = "\n".join(filter(None, (each.kind, each.allowed)))
            meaning = each.meaning.replace("`", "")
            table.add_row(names[each.name], kind, _default(each, chosen), meaning)
        console.print(table, markup=False)
    if any(each.name in chosen for section in sections for each in section.settings):
        console.print(_CHOSEN.replace("`", ""), markup=False)


def _default(setting: "Setting", chosen: Collection[str]) -> str:
    return f"{setting.default} *" if setting.name in chosen else setting.default
