"""Diffusion in a latent space: noise schedules, their three phases, noise and back.

DiffCrossGait (Lu and Cheng, ICML 2026) splits the steps of a DDPM schedule (Ho et al.
2020) by how much of the signal is left: small noise, where a latent still says who it
is, large noise, where it hardly does, and what is between. What the paper does not
state is marked so; specs: docs/diffcrossgait.md.
"""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from gaitjax.errors import GaitError

Schedule = Literal["linear", "linear_rescaled", "cosine"]
Interval = tuple[int, int]  # first and last step, both included


def alpha_bars(num_steps: int, schedule: Schedule = "linear") -> np.ndarray:
    """Share of the signal's variance left after step 1 .. num_steps: float64 [T].

    linear: beta from 1e-4 to 0.02 whatever T is (not stated in the paper; the only one
    that fits its table of thresholds). linear_rescaled: the same times 1000 / T, as if
    every 1000 / T-th step of Ho et al. were taken. cosine: Nichol and Dhariwal 2021.
    GaitError for fewer steps than there are phases.
    """
    if num_steps < 3:
        raise GaitError(
            f"method_args.num_steps={num_steps}: three phases need at least 3 steps; "
            "the paper's number is 100"
        )
    if schedule == "cosine":
        t = np.arange(num_steps + 1) / num_steps
        left = np.cos((t + 0.008) / 1.008 * np.pi / 2) ** 2
        betas = 1 - left[1:] / left[:-1]
    else:
        betas = np.linspace(1e-4, 0.02, num_steps)
        if schedule == "linear_rescaled":
            betas = betas * (1000 / num_steps)
    return np.cumprod(1 - np.minimum(betas, 0.999))


def phase_intervals(
    left: np.ndarray, small: float = 0.95, large: float = 0.5, *, strict: bool = False
) -> tuple[tuple[Interval, Interval, Interval], str]:
    """The steps of small, middle and large noise, and a note ("" if all is well).

    left [T]: what is left of the signal, falling; alpha-bar, or its root. Small is
    where at least `small` of it is left, large where at most `large` is. Where that
    little is never reached, the last step alone is large noise and the note says so;
    an error where `strict`. GaitError where a phase would have no step.
    """
    if not 0 < large < small < 1:
        raise GaitError(
            f"method_args.large_noise={large} and small_noise={small}: expected 0 < "
            "large_noise < small_noise < 1, shares of the signal that are left"
        )
    steps = len(left)
    last_small = int((left >= small).sum())  # falling: a prefix
    first_large = steps - int((left <= large).sum()) + 1
    note = ""
    if first_large > steps:
        note = (
            f"{steps} steps leave {left[-1]:.3f} of the signal, more than {large}: "
            f"step {steps} alone is large noise"
        )
        if strict:
            raise GaitError(
                f"{note}; raise method_args.large_noise or num_steps, take another "
                "schedule, or drop strict_phases"
            )
        first_large = steps
    found = ((1, last_small), (last_small + 1, first_large - 1), (first_large, steps))
    for name, (first, last) in zip(("small", "middle", "large"), found, strict=True):
        if first > last:
            raise GaitError(
                f"no step of {name} noise: at most {small} is left from step "
                f"{last_small + 1}, {large} or less from step {first_large} of {steps};"
                " move method_args.small_noise and large_noise apart, or raise "
                "num_steps"
            )
    return found, note


def add_noise(signal: jax.Array, noise: jax.Array, left: jax.Array) -> jax.Array:
    """z_t = sqrt(ab) z_0 + sqrt(1 - ab) e; left (ab) broadcasts against both."""
    return jnp.sqrt(left) * signal + jnp.sqrt(1 - left) * noise


def remove_noise(noisy: jax.Array, noise: jax.Array, left: jax.Array) -> jax.Array:
    """The z_0 that `add_noise` made `noisy` of, if the noise was this."""
    return (noisy - jnp.sqrt(1 - left) * noise) / jnp.sqrt(left)


def sample_steps(rng: jax.Array, intervals: tuple[Interval, ...], n: int) -> jax.Array:
    """i32 [n, len(intervals)]: for every sample a step of each interval, uniform."""
    first = jnp.array([interval[0] for interval in intervals])
    last = jnp.array([interval[1] for interval in intervals])
    return jax.random.randint(rng, (n, len(intervals)), first, last + 1)
