"""Leaves cleanly when the scheduler (or a user with Ctrl-C) says so."""

from __future__ import annotations

import os
import signal

import jax
from jax.experimental import multihost_utils


class Preemption:
    """A context in which SIGTERM and SIGINT only raise a flag.

    With several processes all of them must stop at the same step, whichever one
    the signal reached: they ask JAX's coordination service, which has its own
    SIGTERM handler (it looks once a second) and names a step that none has passed.
    """

    def __init__(self):
        self._signalled = False
        self._previous: dict = {}

    def __enter__(self) -> Preemption:
        ours = [signal.SIGINT]
        if jax.process_count() == 1:
            ours.append(signal.SIGTERM)
        for number in ours:
            self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def requested(self, step: int) -> bool:
        """Whether to save and leave after this step."""
        if jax.process_count() > 1:
            return multihost_utils.reached_preemption_sync_point(step)
        return self._signalled

    def _note(self, number: int, _: object) -> None:
        # A second Ctrl-C is a user who does not want to wait.
        if self._signalled and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._signalled = True
        if jax.process_count() > 1:
            os.kill(os.getpid(), signal.SIGTERM)  # the one that the service knows
