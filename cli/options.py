"""A dataclass of options -> a command line.

Each field becomes an option: its type, default, range and help stand once, in the dataclass. Presets are named
changes of the defaults; what is given on the command line wins over both.
"""

import argparse
import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from cli.errors import UserError

Options = TypeVar("Options")


def option(
    default: Any,
    help: str,
    *,
    minimum: float | None = None,
    above: float | None = None,
    choices: Sequence[Any] | None = None,
) -> Any:
    """A field of an options dataclass. `minimum` is allowed itself, `above` is not; both hold for every list item."""
    metadata = {"help": help, "minimum": minimum, "above": above, "choices": choices}
    return dataclasses.field(default=default, metadata=metadata)


def parse_options(
    cls: type[Options],
    description: str,
    arguments: Sequence[str] | None = None,
    presets: Mapping[str, Mapping[str, Any]] | None = None,
) -> Options:
    """Parse the command line into `cls`; `--dry-run` prints the result as JSON and exits.

    `presets` maps a name to the fields it changes; the first is the default. Raises SystemExit(2) with one line, as
    argparse does, for an unknown or unreadable option, and `UserError` for a value out of range.
    """
    types = get_type_hints(cls)
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    if presets:
        told = "; ".join(f"{name}: {_told(changes)}" for name, changes in presets.items())
        parser.add_argument("--preset", choices=list(presets), default=next(iter(presets)), help=_percent(told))
    for field in dataclasses.fields(cls):
        _add(parser, field, types[field.name])
    parser.add_argument("--dry-run", action="store_true", help="print the resolved options and exit")
    given = vars(parser.parse_args(arguments))
    dry_run = given.pop("dry_run")
    preset = presets[given.pop("preset")] if presets else {}
    options = cls(**{**preset, **given})
    check_options(options)
    if dry_run:
        print(json.dumps(as_plain(options), indent=2))
        raise SystemExit(0)
    return options


def check_options(options: Any) -> None:
    """Raise `UserError` where a field is out of its range."""
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        low, above, choices = (field.metadata.get(name) for name in ("minimum", "above", "choices"))
        for item in value if isinstance(value, tuple) else (value,):
            if low is not None and item < low:
                raise UserError(f"{_flag(field.name)} must be at least {low:g}, but is {item:g}")
            if above is not None and item <= above:
                raise UserError(f"{_flag(field.name)} must be above {above:g}, but is {item:g}")
            if choices is not None and item not in choices:
                raise UserError(f"{_flag(field.name)} must be one of {', '.join(map(str, choices))}, but is {item}")


def as_plain(options: Any) -> dict[str, Any]:
    """Options as numbers, strings and lists, for JSON and checkpoints."""
    plain = dataclasses.asdict(options)
    return {
        name: str(value) if isinstance(value, Path) else list(value) if isinstance(value, tuple) else value
        for name, value in plain.items()
    }


def _add(parser: argparse.ArgumentParser, field: dataclasses.Field[Any], kind: Any) -> None:
    flag, text = _flag(field.name), _percent(field.metadata["help"])
    shown = ",".join(map(str, field.default)) if isinstance(field.default, tuple) else field.default
    help_text = f"{text} (default: {_percent(str(shown))})" if shown not in (None, "") else text
    # Only what the user gives lands in the namespace, so that presets can fill in the rest.
    common = {"dest": field.name, "default": argparse.SUPPRESS, "help": help_text}
    if kind is bool:
        parser.add_argument(flag, action=argparse.BooleanOptionalAction, **common)
    elif kind == tuple[int, ...]:
        parser.add_argument(flag, type=_int_list, metavar="N,N,...", **common)
    else:
        plain_kind = next((k for k in getattr(kind, "__args__", ()) if k is not type(None)), kind)
        choices = field.metadata["choices"]
        parser.add_argument(flag, type=plain_kind, choices=choices, **common)


def _int_list(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of whole numbers with commas") from None


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _told(changes: Mapping[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', '-')} {value}" for name, value in changes.items()) or "the published recipe"


def _percent(text: str) -> str:
    return text.replace("%", "%%")
