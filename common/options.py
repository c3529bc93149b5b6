"""Turn a dataclass of options into a command line.

Each field becomes an option: its type, default, range and help stand once, in the dataclass, which inherits from
`CheckedOptions`. `--help` groups the options by the dataclass that declares them, under its docstring's first line.
Presets are named changes of the defaults. The command line wins over a preset, a preset over a default.
"""

import argparse
import dataclasses
import inspect
import json
import math
import shlex
import textwrap
from collections.abc import Callable, Container, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar, get_args, get_origin, get_type_hints

from common.errors import UserError

Options = TypeVar("Options", bound="CheckedOptions")
DEVICES = ("auto", "cpu", "cuda", "mps")  # values of --device; see `common.device.select_device`
_METAVARS = {int: "N", float: "X", Path: "PATH", str: "TEXT"}


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
    """Return a field of an options dataclass.

    `minimum` and `maximum` are inclusive, `above` is exclusive; ranges and choices hold for every item of a tuple.
    `flag` is the option's name on the command line (default: the field's name). One without dashes is the name of the
    values that stand there without a name, of a field `tuple[X, ...]`.
    """
    ranges = {"minimum": minimum, "above": above, "maximum": maximum, "choices": choices}
    return dataclasses.field(default=default, metadata={"help": help, "flag": flag, **ranges})


class CheckedOptions:
    """Base of all dataclasses of options; checks the ranges of the fields when an object is made.

    A subclass that defines `__post_init__` calls this one first.
    """

    def __post_init__(self) -> None:
        """Raises `UserError` for a field out of its range."""
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            for item in value if isinstance(value, tuple) else (value,):
                if item is not None:
                    _check(flag_of(field), item, field.metadata)


class _Parser(argparse.ArgumentParser):
    """Report a wrong option in one line with exit code 2."""

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

    `presets` maps a name to the fields that it changes; the first is the default. `dry_run` prints more about a run
    before `--dry-run` exits. Raises SystemExit(2) after one line for an unknown or unreadable option, as argparse does,
    and `UserError` for a value out of range.
    """
    types = get_type_hints(cls)
    unnamed = [f" {flag} ..." for flag in map(flag_of, dataclasses.fields(cls)) if flag[0] != "-"]  # type: ignore
    parser = _Parser(
        usage="%(prog)s [options]" + "".join(unnamed), description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter, epilog=_presets_help(cls, presets) if presets else None,
    )  # fmt: skip
    if presets:
        first = next(iter(presets))
        preset_help = f"named changes of the defaults, listed below (default: {first})"
        parser.add_argument("--preset", choices=list(presets), default=first, help=preset_help)
    parser.add_argument("--dry-run", action="store_true", help="print the resolved options and exit")
    for title, fields in option_groups(cls).items():
        group = parser.add_argument_group(title)
        for field in fields:
            _add(group, field, types[field.name])
    parsed = vars(parser.parse_intermixed_args(arguments))
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in parsed.items()}
    only_print = given.pop("dry_run")
    preset = presets[given.pop("preset")] if presets else {}
    options = cls(**{**preset, **given})
    if only_print:
        print(json.dumps(as_plain(options), indent=2))
        if dry_run:
            dry_run(options)
        raise SystemExit(0)
    return options


def option_groups(cls: type[CheckedOptions]) -> dict[str, list[dataclasses.Field[Any]]]:
    """The fields of `cls` by group: title -> fields, the program's own group first, then those of its bases.

    A dataclass of the inheritance chain is a group; its title is its docstring's first line. A field that a subclass
    declares again, with another default, stays in the group of the base.
    """
    group_of_field, titles = {}, []
    for base in cls.__mro__:
        if dataclasses.is_dataclass(base):
            titles.append((base.__doc__ or base.__name__).splitlines()[0].removesuffix("."))
            group_of_field |= dict.fromkeys(inspect.get_annotations(base), titles[-1])
    groups: dict[str, list[dataclasses.Field[Any]]] = {title: [] for title in titles}
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        groups[group_of_field[field.name]].append(field)
    return {title: fields for title, fields in groups.items() if fields}


def command_line(program: str, options: CheckedOptions, names: Container[str] | None = None) -> str:
    """The command of a program, "eval_mse.py" or "-m programs.damage", with the options that differ from the defaults.

    `names`: fields to give; None gives all.
    """
    words, kinds = ["python", *program.split()], get_type_hints(type(options))
    for field in dataclasses.fields(options):  # type: ignore[arg-type]
        value, flag = getattr(options, field.name), flag_of(field)
        if value == field.default or (names is not None and field.name not in names):
            continue
        if isinstance(value, bool):
            words.append(flag if value else f"--no-{flag[2:]}")
        elif flag[0] != "-":
            words += map(str, value)
        else:
            items = [str(item) for item in (value if isinstance(value, tuple) else (value,))]
            is_list = Ellipsis in get_args(_given_kind(kinds[field.name]))
            words += [flag, ",".join(items)] if is_list else [flag, *items]
    return shlex.join(words)


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
    return json.loads(json.dumps(dataclasses.asdict(options), default=str))


def _add(group: argparse._ArgumentGroup, field: dataclasses.Field[Any], kind: Any) -> None:
    shown = "" if field.default is None else f" (default: {_as_typed(field.default)})"
    help_text = (field.metadata["help"] + (shown if _as_typed(field.default) else "")).replace("%", "%%")
    # Only options that the user gives reach the namespace, so that presets can supply the others.
    common = {"dest": field.name, "default": argparse.SUPPRESS, "help": help_text}
    kind = _given_kind(kind)
    choices = field.metadata["choices"]
    if flag_of(field)[0] != "-":
        del common["dest"]
        group.add_argument(field.name, nargs="*", type=get_args(kind)[0], metavar=flag_of(field), **common)
        return
    if kind is bool:
        common["action"] = argparse.BooleanOptionalAction
    elif get_origin(kind) is tuple and Ellipsis in get_args(kind):  # tuple[X, ...]: values with commas
        item = get_args(kind)[0]
        common |= {"type": _list_of(item), "metavar": ",".join([_METAVARS[item]] * 2) + ",..."}
    elif get_origin(kind) is tuple:  # tuple[X, X]: that many values, with spaces
        item = get_args(kind)[0]
        common |= {"type": item, "nargs": len(get_args(kind)), "metavar": _METAVARS[item]}
    else:
        common |= {"type": kind, "choices": choices, "metavar": None if choices else _METAVARS[kind]}
    group.add_argument(flag_of(field), **common)


def _given_kind(kind: Any) -> Any:
    """X of X | None."""
    return get_args(kind)[0] if type(None) in get_args(kind) else kind


def _list_of(item: type) -> Callable[[str], tuple[Any, ...]]:
    def parse(text: str) -> tuple[Any, ...]:
        try:
            return tuple(item(part) for part in text.split(","))
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a list of whole numbers with commas") from None

    return parse


def flag_of(field: dataclasses.Field[Any]) -> str:
    """The name of an option on the command line."""
    return field.metadata.get("flag") or "--" + field.name.replace("_", "-")


def _presets_help(cls: type[CheckedOptions], presets: Mapping[str, Mapping[str, Any]]) -> str:
    """The options that each preset changes; one that extends an earlier preset lists only what differs from it."""
    flags, lines = {field.name: flag_of(field) for field in dataclasses.fields(cls)}, ["presets:"]  # type: ignore
    earlier: dict[str, Mapping[str, Any]] = {}
    for name, changes in presets.items():
        known, words = {}, [f"{name:<11}"]
        for base, others in earlier.items():
            if others.keys() <= changes.keys() and 2 * len(others.items() & changes.items()) > len(changes):
                known, words = others, [f"{name:<11} as {base}, with"]
        for key, value in changes.items():
            flag = f"--no-{flags[key][2:]}" if value is False else flags[key]
            if known.get(key) != value:  # without a line break between an option and its value
                words.append(flag if isinstance(value, bool) else f"{flag}\xa0{_as_typed(value)}")
        text = " ".join(words if changes else [*words, "the defaults"])
        indents = {"initial_indent": "  ", "subsequent_indent": " " * 14}
        lines.append(textwrap.fill(text, 118, **indents, break_on_hyphens=False).replace("\xa0", " "))
        earlier[name] = changes
    return "\n".join(lines)


def _as_typed(value: Any) -> str:
    """A value as the command line takes it: the items of a list with commas, those of a pair of floats with spaces."""
    items = value if isinstance(value, tuple) else (value,)
    return (" " if isinstance(next(iter(items), None), float) else ",").join(map(str, items))
