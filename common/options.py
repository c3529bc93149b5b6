"""A dataclass of options -> a command line.

Each field becomes an option: its type, default, range and help stand once, in the dataclass, which inherits from
`CheckedOptions`. Presets are named changes of the defaults; what is given on the command line wins over both.
"""

import argparse
import dataclasses
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar, get_args, get_origin, get_type_hints

from common.errors import UserError

Options = TypeVar("Options", bound="CheckedOptions")


def option(
    default: Any,
    help: str,
    *,
    minimum: float | None = None,
    above: float | None = None,
    maximum: float | None = None,
    choices: Sequence[Any] | None = None,
    flag: str | None = None,
) -> Any:
    """A field of an options dataclass. `minimum` and `maximum` are allowed themselves, `above` is not.

    A range or choice holds for every item of a list. `flag` is what it is called on the command line, by default its
    name.
    """
    ranges = {"minimum": minimum, "above": above, "maximum": maximum, "choices": choices}
    metadata = {"help": help, "flag": flag, **ranges}
    return dataclasses.field(default=default, metadata=metadata)


class CheckedOptions:
    """Base of all dataclasses of options: one that is out of its range is refused where it is made.

    A subclass with a `__post_init__` of its own calls this one first.
    """

    def __post_init__(self) -> None:
        """Raises `UserError` where a field is out of its range."""
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            for item in value if isinstance(value, tuple) else (value,):
                if item is not None:
                    _check(flag_of(field), item, field.metadata)


class Parser(argparse.ArgumentParser):
    """A parser that shows a script's docstring as it is, and answers a wrong option with one line and exit code 2."""

    def __init__(self, description: str) -> None:
        super().__init__(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message} (--help lists the options)\n")


def parse_options(
    cls: type[Options],
    description: str,
    arguments: Sequence[str] | None = None,
    presets: Mapping[str, Mapping[str, Any]] | None = None,
    dry_run: Callable[[Options], object] | None = None,
) -> Options:
    """Parse the command line into `cls`; `--dry-run` prints the result as JSON and exits.

    `presets` maps a name to the fields it changes; the first is the default. `dry_run` prints what else a program can
    tell beforehand. Raises SystemExit(2) with one line, as
    argparse does, for an unknown or unreadable option, and `UserError` for a value out of range.
    """
    types = get_type_hints(cls)
    parser = Parser(description)
    if presets:
        told = "; ".join(f"{name}: {_told(changes)}" for name, changes in presets.items())
        parser.add_argument("--preset", choices=list(presets), default=next(iter(presets)), help=_percent(told))
    for field in dataclasses.fields(cls):
        _add(parser, field, types[field.name])
    parser.add_argument("--dry-run", action="store_true", help="print the resolved options and exit")
    parsed = vars(parser.parse_args(arguments))
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in parsed.items()}
    told_alone = given.pop("dry_run")
    preset = presets[given.pop("preset")] if presets else {}
    options = cls(**{**preset, **given})
    if told_alone:
        print(json.dumps(as_plain(options), indent=2))
        if dry_run:
            dry_run(options)
        raise SystemExit(0)
    return options


def _check(flag: str, value: Any, metadata: Mapping[str, Any]) -> None:
    low, above, high, choices = map(metadata.get, ("minimum", "above", "maximum", "choices"))
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{flag} must be a finite number, but is {value}")
    if low is not None and value < low:
        raise UserError(f"{flag} must be at least {low:g}, but is {value:g}")
    if above is not None and value <= above:
        raise UserError(f"{flag} must be above {above:g}, but is {value:g}")
    if high is not None and value > high:
        raise UserError(f"{flag} must be at most {high:g}, but is {value:g}")
    if choices is not None and value not in choices:
        raise UserError(f"{flag} must be one of {', '.join(map(str, choices))}, but is {value}")


def as_plain(options: Any) -> dict[str, Any]:
    """Options as numbers, strings and lists, for JSON and checkpoints."""
    return {name: _plain(value) for name, value in dataclasses.asdict(options).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _add(parser: argparse.ArgumentParser, field: dataclasses.Field[Any], kind: Any) -> None:
    flag, text = flag_of(field), _percent(field.metadata["help"])
    shown = ",".join(map(str, field.default)) if isinstance(field.default, tuple) else field.default
    help_text = f"{text} (default: {_percent(str(shown))})" if shown not in (None, "") else text
    # Only what the user gives lands in the namespace, so that presets can fill in the rest.
    common = {"dest": field.name, "default": argparse.SUPPRESS, "help": help_text}
    if type(None) in get_args(kind):  # X | None
        kind = get_args(kind)[0]
    if kind is bool:
        parser.add_argument(flag, action=argparse.BooleanOptionalAction, **common)
    elif kind == tuple[int, ...]:
        parser.add_argument(flag, type=_int_list, metavar="N,N,...", **common)
    elif kind == tuple[Path, ...]:
        parser.add_argument(flag, type=_path_list, metavar="PATH,PATH,...", **common)
    elif kind == tuple[str, ...]:
        parser.add_argument(flag, type=lambda text: tuple(text.split(",")), metavar="NAME,NAME,...", **common)
    elif get_origin(kind) is tuple:  # tuple[X, X]: so many values of one type, with spaces
        values = get_args(kind)
        parser.add_argument(flag, type=values[0], nargs=len(values), metavar=values[0].__name__.upper(), **common)
    else:
        parser.add_argument(flag, type=kind, choices=field.metadata["choices"], **common)


def _path_list(text: str) -> tuple[Path, ...]:
    return tuple(Path(part) for part in text.split(","))


def _int_list(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of whole numbers with commas") from None


def flag_of(field: dataclasses.Field[Any]) -> str:
    """The name of an option on the command line."""
    return field.metadata.get("flag") or "--" + field.name.replace("_", "-")


def _told(changes: Mapping[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', '-')} {value}" for name, value in changes.items()) or "the published recipe"


def _percent(text: str) -> str:
    return text.replace("%", "%%")
