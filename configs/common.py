"""What every config starts from: all sections with the defaults of the code.

A key of a section is an argument of the function that `gaitjax.run.sections`
names for it; its docstring says what it means.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping

from ml_collections import ConfigDict, config_dict

from gaitjax import arguments
from gaitjax.methods import api
from gaitjax.run import sections


def base(method: str = "supervised") -> ConfigDict:
    """A config whose every key can be overridden on the command line."""
    config = ConfigDict({name: section(fn) for name, fn in sections().items()})
    config.method = method
    config.method_args = section(api.find(method), leave_out=("dtype",))
    return config


def on_base(method: str, frozen: ConfigDict, workdir: str) -> ConfigDict:
    """A config of a method that stands on a network, which the config `frozen` trains
    in `workdir`; the data are those of that config."""
    config = base(method)
    config.data = frozen.data.copy_and_resolve_references()
    config.method_args.base = ConfigDict({"workdir": workdir, "config": frozen})
    return config


def section(fn: Callable, leave_out: tuple[str, ...] = ()) -> ConfigDict:
    """The keyword arguments of a function, with their defaults."""
    hints, defaults = arguments.hints(fn), arguments.defaults(fn)
    values = ConfigDict()
    for name, hint in hints.items():
        if name not in leave_out:
            value = defaults.get(name)
            values[name] = placeholder(hint) if value is None else value
    return values


def placeholder(hint: object) -> object:
    """An empty value of an annotated type, for ml_collections to check against."""
    options = [hint]
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        options = [kind for kind in typing.get_args(hint) if kind is not type(None)]
    kind = typing.get_origin(options[0]) or options[0]
    if kind is Mapping:
        return ConfigDict()
    return config_dict.placeholder(tuple if kind is tuple else kind)


def variants(name: str, variant: str | None, known: tuple[str, ...]) -> str:
    """The variant of a config file, checked; "" is the published recipe."""
    from gaitjax.errors import GaitError

    variant = variant or ""
    if variant not in ("", *known):
        raise GaitError(arguments.unknown(variant, known, f"variant of {name}"))
    return variant
