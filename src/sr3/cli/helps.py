"""Help as text: options in groups, and examples.

Plain, so that it comes at once: what draws boxes takes longer to load than all the rest.
"""

from collections.abc import Callable, Mapping
from typing import Any

from typer.core import TyperCommand, TyperGroup

GIVEN, SIZE, RESULT, HOW = "What is given", "How large", "The result", "How it is made"
MEASURED, PAGE, MACHINE, MANY = "What is measured", "The page", "The machine", "Many pictures"
"""The groups of `--help`."""

ORDER = ("Arguments", GIVEN, SIZE, RESULT, HOW, MEASURED, PAGE, MACHINE, MANY)


def grouped(groups: Mapping[str, str]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A command whose options are in groups of its help.

    groups: of each group the parameters, with spaces.  KeyError for one that the command has not.
    """

    def decorated(command: Callable[..., None]) -> Callable[..., None]:
        for group, names in groups.items():
            for name in names.split():
                command.__annotations__[name].__metadata__[0].rich_help_panel = group
        return command

    return decorated


class Grouped(TyperCommand):
    """A command whose options are listed by their `rich_help_panel`, in the order of `ORDER`."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments, groups, and last what belongs to none."""
        groups: dict[str, list[tuple[str, str]]] = {group: [] for group in ORDER}
        others: list[tuple[str, str]] = []
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is None:
                continue
            group = "Arguments" if param.param_type_name == "argument" else getattr(param, "rich_help_panel", None)
            (groups.setdefault(group, []) if group else others).append(record)
        for group, records in (*groups.items(), ("Options", others)):
            if records:
                with formatter.section(group):
                    formatter.write_dl(records)


class GroupedCommands(TyperGroup):
    """A group whose commands are listed by their `rich_help_panel`."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write each group of commands with a line for each."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        shown = [(name, command) for name, command in found if command is not None and not command.hidden]
        room = formatter.width - 6 - max((len(name) for name, _ in shown), default=0)
        groups: dict[str, list[tuple[str, str]]] = {}
        for name, command in shown:
            group = getattr(command, "rich_help_panel", None) or "Commands"
            groups.setdefault(group, []).append((name, command.get_short_help_str(room)))
        for group, records in groups.items():
            with formatter.section(group):
                formatter.write_dl(records)
