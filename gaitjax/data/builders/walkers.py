"""The synthetic walkers as TFDS sets: the default one, and twins of real sets.

A twin has the conditions, takes, views and protocol of its original; how many
people and frames it has is up to the arguments.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds

from gaitjax import walkers
from gaitjax.arguments import at_least, unknown
from gaitjax.data.builders import common
from gaitjax.errors import GaitError

ALL_VIEWS = tuple(range(0, 181, 18))


@dataclasses.dataclass(frozen=True)
class Twin:
    """Which sequences a person has: (`nm`, 3) is nm-01, nm-02, nm-03."""

    train: tuple[tuple[str, int], ...]
    test: tuple[tuple[str, int], ...]
    train_views: tuple[int, ...]
    test_views: tuple[int, ...]
    num_train: int
    num_test: int


def twins() -> dict[str, Twin]:
    """Every walkers set by its name."""
    casia_b = (("nm", 6), ("bg", 2), ("cl", 2))
    return {
        "walkers": Twin(
            train=(("nm", 3), ("bg", 1), ("cl", 1)),
            test=(("nm", 3), ("bg", 1), ("cl", 1)),
            train_views=ALL_VIEWS[::2],
            test_views=ALL_VIEWS,
            num_train=160,
            num_test=40,
        ),
        "walkers_casia_b": Twin(casia_b, casia_b, ALL_VIEWS, ALL_VIEWS, 74, 50),
    }


def make_builder(
    root: pathlib.Path,
    name: str,
    *,
    num_train: int | None = None,
    num_test: int | None = None,
    frames: int = 20,
    seed: int = 0,
    processes: int | None = None,
) -> Walkers:
    """The builder of a twin; nothing is generated yet.

    num_train, num_test: identities (None is the twin's own number). The same
    arguments give the same folder and the same bits with any `processes` (None is
    one per core).
    """
    if name not in twins():
        raise GaitError(unknown(name, twins(), "walkers set"))
    twin = twins()[name]
    at_least(
        1,
        data__args__num_train=num_train,
        data__args__num_test=num_test,
        data__args__frames=frames,
        data__args__processes=processes,
    )
    at_least(0, data__args__seed=seed)
    num_train, num_test = num_train or twin.num_train, num_test or twin.num_test
    twin = dataclasses.replace(twin, num_train=num_train, num_test=num_test)
    label = f"{name}-{num_train}+{num_test}ids-{frames}frames-seed{seed}"
    config = WalkersConfig(
        name=label,
        twin=twin,
        frames=frames,
        seed=seed,
        processes=processes or len(os.sched_getaffinity(0)),
    )
    return Walkers(data_dir=root, config=config, file_format="array_record")


@dataclasses.dataclass(eq=False, kw_only=True)
class WalkersConfig(tfds.core.BuilderConfig):
    """The arguments of `make_builder`."""

    twin: Twin
    frames: int
    seed: int
    processes: int


class Walkers(tfds.core.GeneratorBasedBuilder):
    """Generates people in parallel, one task per person."""

    VERSION = tfds.core.Version(walkers.VERSION)
    url_infos = None  # nothing is downloaded; TFDS would look for check sums

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="Synthetic walkers (simulated; no person was recorded).",
            features=common.features({"sils": (64, 64)}),
            disable_shuffling=True,  # a person's records lie side by side
        )

    def _split_generators(self, dl_manager) -> dict:
        twin = self.builder_config.twin
        people = range(twin.num_train + twin.num_test)
        return {
            "train": self._generate_examples(
                people[: twin.num_train], twin.train, twin.train_views, "train"
            ),
            "test": self._generate_examples(
                people[twin.num_train :], twin.test, twin.test_views, "test"
            ),
        }

    def _generate_examples(
        self, people: range, takes: tuple, views: tuple[int, ...], split: str
    ) -> Iterator[tuple[int, dict]]:
        config = self.builder_config
        one = functools.partial(
            make_person,
            takes=takes,
            views=views,
            frames=config.frames,
            seed=config.seed,
        )
        label = f"making walkers ({split})"
        done = common.in_processes(one, people, config.processes, label)
        yield from enumerate(record for records in done for record in records)


def make_person(
    subject: int, *, takes: tuple, views: tuple[int, ...], frames: int, seed: int
) -> list[dict[str, str | int | np.ndarray]]:
    """All records of one person, in the order (condition, take, view)."""
    records = []
    for condition, count in takes:
        for take in range(1, count + 1):
            for view in views:
                images = walkers.make_sequence(
                    seed, subject, condition, take, float(view), num_frames=frames
                )
                labels = {
                    "subject": f"{subject + 1:03d}",
                    "condition": f"{condition}-{take:02d}",
                    "view": f"{view:03d}",
                    "take": f"{take:02d}",
                }
                records.append({**labels, "num_frames": frames, **images})
    return records
