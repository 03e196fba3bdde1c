"""A command group that also does something by itself."""

from typing import Any, ClassVar

from typer.core import TyperGroup


class DefaultCommandGroup(TyperGroup):
    """`group PATH --option` runs the command named by `default`; `group name …` runs `name`.

    Use as `typer.Typer(cls=DefaultCommandGroup)`; the default command is the one called `start`, and is best hidden.
    """

    default: ClassVar[str] = "start"

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the default command's name in front, unless a command is named or help is asked for."""
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = [self.default, *args]
        return super().parse_args(ctx, args)
