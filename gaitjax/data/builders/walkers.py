"""The synthetic walkers as TFDS sets: the default one, and twins of real sets."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds

from gaitjax import walkers
from gaitjax.arguments import at_least, between, defaults, unknown
from gaitjax.data import schema
from gaitjax.data.builders import common
from gaitjax.data.builders.twins import Sequence, twins
from gaitjax.errors import GaitError
from gaitjax.machine import cores

PEOPLE = 8  # chosen: a process begins in about the time that so many take


def make_builder(
    root: pathlib.Path,
    name: str,
    *,
    num_train: int | None = None,
    num_test: int | None = None,
    frames: int | None = None,
    modalities: tuple[str, ...] | None = None,
    elevation: float | None = None,
    body_spread: float = 1.3,
    gait_spread: float = 1.3,
    seed: int = 0,
    processes: int | None = None,
) -> Walkers:
    """The builder of a twin; nothing is generated yet.

    num_train, num_test: identities (None is the twin's own number; so for frames and
    modalities). modalities: any of `walkers.KEYS`; 3D labels are in the camera's frame.
    elevation: of the camera and the LiDAR, degrees above the horizontal, in place of
    the twin's own. body_spread, gait_spread: how much people differ in body and gait; 0
    is not at all. The same arguments give the same folder and the same bits with any
    `processes` (None is one per core, and per PEOPLE).
    """
    if name not in twins():
        raise GaitError(unknown(name, twins(), "walkers set"))
    twin = twins()[name]
    _check_sizes(num_train, num_test, frames, seed, processes)
    between(0, 5, data__args__body_spread=body_spread)
    between(0, 5, data__args__gait_spread=gait_spread)
    between(-5, 80, data__args__elevation=elevation)
    for key in modalities or ():
        if key not in walkers.KEYS:
            raise GaitError(unknown(key, walkers.KEYS, "modality in data.args"))
    # One folder for what has the same bits.
    modalities = tuple(key for key in walkers.KEYS if key in (modalities or ()))
    if set(modalities) == set(twins()[name].modalities):
        modalities = ()
    world = World(
        name=name,
        num_train=num_train or twin.num_train,
        num_test=num_test or twin.num_test,
        frames=frames or twin.frames,
        modalities=modalities or twin.modalities,
        elevation=elevation,
        spread=walkers.Spread(identity=body_spread, gait=gait_spread),
        seed=seed,
    )
    sizes = f"{world.num_train}+{world.num_test}ids-{world.frames}frames"
    label = f"{name}-{sizes}-seed{seed}"
    extras = {
        "modalities": "+".join(modalities) or None,
        "elevation": None if elevation is None else float(elevation),
        "body_spread": body_spread,
        "gait_spread": gait_spread,
    }
    usual = defaults(make_builder)
    label += "".join(f"-{k}={v}" for k, v in extras.items() if v != usual[k])
    most = -(-max(world.num_train, world.num_test) // PEOPLE)
    processes = processes or min(cores(), most)
    config = WalkersConfig(name=label, world=world, processes=processes)
    return Walkers(data_dir=root, config=config, file_format="array_record")


def _check_sizes(
    num_train: int | None,
    num_test: int | None,
    frames: int | None,
    seed: int,
    processes: int | None,
) -> None:
    """People of one set end before those of the next begin."""
    between(1, 80_000, data__args__num_train=num_train)
    between(1, 20_000, data__args__num_test=num_test)
    between(1, 10_000, data__args__frames=frames)
    between(0, 2**32 - 1, data__args__seed=seed)
    at_least(1, data__args__processes=processes)


@dataclasses.dataclass(frozen=True)
class World:
    """A twin and its sizes: all that the bits of a set depend on."""

    name: str
    num_train: int
    num_test: int
    frames: int
    modalities: tuple[str, ...]
    elevation: float | None
    spread: walkers.Spread
    seed: int


@dataclasses.dataclass(eq=False, kw_only=True)
class WalkersConfig(tfds.core.BuilderConfig):
    """The arguments of `make_builder`."""

    world: World
    processes: int


class Walkers(tfds.core.GeneratorBasedBuilder):
    """Generates people in parallel, one task per person."""

    VERSION = tfds.core.Version(walkers.VERSION)
    url_infos = None  # nothing is downloaded; TFDS would look for check sums

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        self.parts = common.staging(self)  # later TFDS points data_dir elsewhere

    def _info(self) -> tfds.core.DatasetInfo:
        shapes = walkers.frame_shapes()
        keys = self.builder_config.world.modalities
        return tfds.core.DatasetInfo(
            builder=self,
            description="Synthetic walkers (simulated; no person was recorded).",
            features=common.features({key: shapes[key] for key in keys}),
            disable_shuffling=True,  # a person's records lie side by side
        )

    def _split_generators(self, dl_manager) -> dict:
        return {
            name: self._generate_examples(name == "test") for name in ("train", "test")
        }

    def _generate_examples(self, is_test: bool) -> Iterator[tuple[int, dict]]:
        config = self.builder_config
        world, split = config.world, "test" if is_test else "train"
        people = common.staged(
            functools.partial(make_person, world=world, is_test=is_test),
            world.num_test if is_test else world.num_train,
            folder=self.parts / split,
            processes=config.processes,
            label=f"making walkers ({split})",
            besides=0.0 if is_test else _test_parts(world),
        )
        yield from enumerate(record for person in people for record in records(person))

    def lists(self) -> dict[str, list[str]]:
        """Names of the test's sequences that the original publishes, by list."""
        world = self.builder_config.world
        named: dict[str, list[str]] = {}
        for person in range(world.num_test):
            for sequence in plan(world, person, True):
                for name in sequence.lists:
                    row = (sequence.subject, sequence.condition, sequence.view)
                    named.setdefault(name, []).append("-".join(row))
        return named


def plan(world: World, person: int, is_test: bool) -> list[Sequence]:
    """The sequences of a person, with their subject's label."""
    twin = twins()[world.name]
    rng = np.random.default_rng((world.seed, 8, _walker(world, person, is_test)))
    subject = twin.subject(person, is_test, world.num_train)
    return [
        dataclasses.replace(sequence, subject=sequence.subject or subject)
        for sequence in twin.plan(person, is_test, rng)
    ]


def make_person(person: int, *, world: World, is_test: bool) -> dict[str, np.ndarray]:
    """All sequences of one person: labels, str [r], and modalities [r, t, ...]."""
    twin = twins()[world.name]
    sequences = plan(world, person, is_test)
    images = [
        walkers.make_sequence(
            world.seed,
            _walker(world, person, is_test),
            one.words,
            one.number,
            one.azimuth,
            world.frames,
            dataclasses.replace(world.spread, noise=one.noise),
            world.modalities,
            walkers.Sensors(
                fps=twin.fps,
                lidar_fps=twin.lidar_fps,
                elevation=one.elevation if world.elevation is None else world.elevation,
                distance=one.distance,
            ),
        )
        for one in sequences
    ]
    labels = {
        key: np.array([getattr(one, key) for one in sequences], np.str_)
        for key in schema.LABELS
    }
    return labels | {key: np.stack([i[key] for i in images]) for key in images[0]}


def records(person: dict[str, np.ndarray]) -> Iterator[dict]:
    """The records of what `make_person` made, in the order of its plan."""
    for row in range(len(person["subject"])):
        record = {key: array[row] for key, array in person.items()}
        labels = {key: str(record.pop(key)) for key in schema.LABELS}
        frames = len(next(iter(record.values())))
        yield {**labels, "num_frames": frames, **record}


def _test_parts(world: World) -> float:
    """The people of the test, counted in people of the training split."""
    sequences = [len(plan(world, 0, is_test)) for is_test in (True, False)]
    return world.num_test * sequences[0] / sequences[1]


def _walker(world: World, person: int, is_test: bool) -> int:
    """The number of a person among all walkers of the seed.

    People of the test are the same ones however many are trained on, up to the twin's
    own number.
    """
    twin = twins()[world.name]
    return twin.first + person + max(twin.num_train, world.num_train) * is_test
