"""Optimisers and learning-rate schedules of the field, as one function of options."""

from __future__ import annotations

import re
from typing import Any, Literal

import jax
import optax

from gaitjax.arguments import at_least
from gaitjax.errors import GaitError

Name = Literal["sgd", "adam", "adamw"]
Schedule = Literal["constant", "multistep", "cosine"]


def make_optimizer(
    params: Any,
    steps: int,
    *,
    name: Name = "sgd",
    lr: float = 0.1,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    schedule: Schedule = "multistep",
    milestones: tuple[int, ...] = (),
    gamma: float = 0.1,
    final_lr: float = 0.0,
    decay_steps: int | None = None,
    hold: int = 1,
    warmup: int = 0,
    clip: float | None = None,
    groups: tuple[tuple, ...] = (),
) -> tuple[optax.GradientTransformation, optax.Schedule]:
    """The update rule for `params`, and the learning rate by step.

    `weight_decay` is an L2 term on everything, batch norm and biases included, for
    sgd and adam (what the field's recipes mean by it), and decoupled for adamw.
    schedule: `multistep` multiplies by gamma at each milestone; `cosine` falls to
    final_lr until step `decay_steps` (None: the last) and stays there, constant over
    stretches of `hold` steps (SwinGait's 1000). `warmup` steps rise linearly before
    it. `clip` bounds the gradient's global norm. `groups` are (pattern, factor on lr,
    factor on decay); the first whose pattern is found in a parameter's path counts.
    """
    at_least(1, optim__hold=hold, optim__decay_steps=decay_steps)
    at_least(0, optim__warmup=warmup)
    end = steps if decay_steps is None else decay_steps
    rate = _schedule(end, schedule, lr, milestones, gamma, final_lr, hold, warmup)
    rule = _rule(name, momentum, weight_decay, rate, 1.0, 1.0)
    if groups:
        rules = {
            pattern: _rule(name, momentum, weight_decay, rate, lr_factor, decay_factor)
            for pattern, lr_factor, decay_factor in map(_checked_group, groups)
        }
        labels = _group_labels(params, tuple(rules))
        rule = optax.multi_transform({**rules, "": rule}, labels)
    if clip:
        rule = optax.chain(optax.clip_by_global_norm(clip), rule)
    return rule, rate


def _rule(
    name: str,
    momentum: float,
    weight_decay: float,
    rate: optax.Schedule,
    lr: float,
    decay: float,
) -> optax.GradientTransformation:
    def scaled(step: jax.Array) -> jax.Array:
        return rate(step) * lr

    decay = weight_decay * decay
    if name == "adamw":
        return optax.adamw(scaled, weight_decay=decay)
    base = optax.sgd(scaled, momentum or None) if name == "sgd" else optax.adam(scaled)
    return optax.chain(optax.add_decayed_weights(decay), base)


def _schedule(
    steps: int,
    name: str,
    lr: float,
    milestones: tuple[int, ...],
    gamma: float,
    final_lr: float,
    hold: int,
    warmup: int,
) -> optax.Schedule:
    if name == "constant":
        main = optax.constant_schedule(lr)
    elif name == "multistep":
        main = optax.piecewise_constant_schedule(
            lr, {int(m) - warmup: gamma for m in milestones}
        )
    else:
        cosine = optax.cosine_decay_schedule(
            lr, max(steps - warmup, 1), final_lr / max(lr, 1e-30)
        )

        def main(step: jax.Array) -> jax.Array:
            return cosine(step // hold * hold)

    if not warmup:
        return main
    # From lr / (warmup + 1), so that the first step learns something too.
    rise = optax.linear_schedule(lr / (warmup + 1), lr, warmup)
    return optax.join_schedules([rise, main], [warmup])


def _checked_group(group: tuple) -> tuple[str, float, float]:
    kinds = [isinstance(x, int | float) for x in group] if len(group) == 3 else []
    if kinds != [False, True, True]:
        raise GaitError(
            f"optim.groups: expected (pattern, factor on lr, factor on decay), got "
            f"{group!r}; change it in the config"
        )
    return tuple(group)


def _group_labels(params: Any, patterns: tuple[str, ...]) -> Any:
    unused = set(patterns)

    def label(path: tuple, _: Any) -> str:
        name = "/".join(str(getattr(key, "key", key)) for key in path)
        for pattern in patterns:
            if re.search(pattern, name):
                unused.discard(pattern)
                return pattern
        return ""

    labels = jax.tree_util.tree_map_with_path(label, params)
    if unused:
        raise GaitError(
            f"optim.groups: no parameter matches {sorted(unused)}; the names are those "
            "that the checkpoint lists, such as backbone/stem/conv/kernel"
        )
    return labels
