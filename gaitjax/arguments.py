"""Calls a function with arguments that a user wrote, and explains what is wrong.

A config section is the keyword arguments of one function: its written signature
is the schema, its annotations are the types.
"""

from __future__ import annotations

import difflib
import inspect
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from gaitjax.errors import GaitError


def defaults(fn: Callable) -> dict[str, Any]:
    """The keyword-only arguments of `fn` that have a default, with it."""
    return {
        name: parameter.default
        for name, parameter in _options(fn).items()
        if parameter.default is not inspect.Parameter.empty
    }


def hints(fn: Callable) -> dict[str, Any]:
    """The annotation of every keyword-only argument of `fn`, evaluated."""
    resolved = typing.get_type_hints(fn)
    return {name: resolved.get(name, Any) for name in _options(fn)}


def check(
    fn: Callable, given: Mapping[str, Any], where: str, besides: Iterable[str] = ()
) -> None:
    """Raises GaitError for a key that `fn` lacks, a wrong type, a missing key.

    besides: arguments that the code gives, which a config therefore may not.
    """
    options = {k: v for k, v in _options(fn).items() if k not in set(besides)}
    expected = hints(fn)
    kinds = {p.kind for p in inspect.signature(fn).parameters.values()}
    for key, value in given.items():
        if key not in options and inspect.Parameter.VAR_KEYWORD in kinds:
            continue  # it hands the rest on to another function
        if key not in options:
            raise GaitError(
                unknown(f"{where}.{key}", (f"{where}.{k}" for k in options))
            )
        if not _fits(value, expected[key]):
            raise GaitError(
                f"{where}.{key}: expected {_spell(expected[key])}, got {value!r} "
                f"({type(value).__name__}); change it in the config or on the "
                "command line"
            )
    for key, parameter in options.items():
        if parameter.default is inspect.Parameter.empty and key not in given:
            raise GaitError(f"{where}.{key} is missing; set it in the config")


def at_least(least: int, **given: int | None) -> None:
    """Raises GaitError for a number that is too small; None passes.

    The name is that of the config's key, `__` standing for its dots.
    """
    for name, value in given.items():
        if value is not None and value < least:
            key = name.replace("__", ".")
            raise GaitError(f"{key}: expected at least {least}, got {value}; raise it")


def between(low: float, high: float, **given: float | None) -> None:
    """Raises GaitError for a number outside [low, high] (or NaN); None passes."""
    for name, value in given.items():
        if value is not None and not low <= value <= high:
            key = name.replace("__", ".")
            raise GaitError(f"{key}: expected {low} to {high}, got {value}; change it")


def finite(what: str, embedding: np.ndarray, names: Sequence[str], maker: str) -> None:
    """Raises GaitError where a row of f32[n,p,d] has a NaN or an infinity.

    It would be nearest to nobody, and nobody would know. names: of the rows. maker:
    what made them all, for the message.
    """
    bad = np.flatnonzero(~np.isfinite(embedding).all((1, 2)))
    if len(bad):
        raise GaitError(
            f"{what}: {len(bad)} of {len(embedding)} sequences are NaN or infinite, "
            f"the first is {names[bad[0]]} (row {bad[0]}); look at its frames, or at "
            f"the {maker} if it is all of them"
        )


def unknown(key: str, known: Iterable[str], what: str = "key") -> str:
    """The line for a name that does not exist, with the nearest that does."""
    known = sorted(known)
    # Dotted keys of one section resemble one another by their prefix: compare what
    # differs first, whole keys only where the section is what is misspelt.
    prefix = key.rpartition(".")[0] + "."
    siblings = [name for name in known if name.startswith(prefix)] or known
    short = {name.removeprefix(prefix): name for name in siblings}
    near = difflib.get_close_matches(key.removeprefix(prefix), short, n=1)
    if near:
        return f"unknown {what} {key}; did you mean {short[near[0]]}?"
    if siblings is known:
        near = difflib.get_close_matches(key, known, n=1)
        if near:
            return f"unknown {what} {key}; did you mean {near[0]}?"
    return f"unknown {what} {key}; there are: {', '.join(siblings) or 'none'}"


def _options(fn: Callable) -> dict[str, inspect.Parameter]:
    parameters = inspect.signature(fn).parameters.items()
    keyword = inspect.Parameter.KEYWORD_ONLY
    return {name: p for name, p in parameters if p.kind is keyword}


def _fits(value: Any, hint: Any) -> bool:
    if hint is Any:
        return True
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, option) for option in typing.get_args(hint))
    if origin is typing.Literal:
        return value in typing.get_args(hint)
    if origin is tuple:
        (item, *_) = typing.get_args(hint)
        return isinstance(value, tuple | list) and all(_fits(v, item) for v in value)
    kind = origin or hint
    if kind is type(None):
        return value is None
    if isinstance(value, bool):  # a bool is an int to Python, not to a config
        return kind is bool
    if kind is tuple:
        return isinstance(value, tuple | list)
    if kind is float:
        return isinstance(value, int | float)
    return isinstance(value, kind)


def _spell(hint: Any) -> str:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_spell(option) for option in typing.get_args(hint))
    if origin is typing.Literal:
        return " or ".join(repr(option) for option in typing.get_args(hint))
    if hint is type(None):
        return "None"
    return getattr(hint, "__name__", str(hint)) if origin is None else str(hint)
