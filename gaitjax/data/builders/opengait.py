"""Data sets as OpenGait's preprocessing leaves them: `id/type/view/*.pkl`.

One pickle per sequence and modality, its first axis time. So far CASIA-B with its
silhouettes u8 [t, 64, 64].
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow_datasets as tfds

from gaitjax.arguments import unknown
from gaitjax.data import safe_pickle
from gaitjax.data.builders import common
from gaitjax.errors import GaitError


@dataclasses.dataclass(frozen=True)
class Layout:
    """is_train, is_test: which identities belong to a split."""

    is_train: Callable[[str], bool]
    is_test: Callable[[str], bool]


def layouts() -> dict[str, Layout]:
    """Every data set of this form whose split is a rule."""
    return {
        # The usual 74/50 split: 001-074 and 075-124.
        "casia_b": Layout(lambda s: "001" <= s <= "074", lambda s: "075" <= s <= "124"),
    }


def make_builder(
    root: pathlib.Path, name: str, *, source: str, processes: int = 2
) -> OpenGait:
    """The builder of a data set; nothing is read yet."""
    if name not in layouts():
        raise GaitError(unknown(name, layouts(), "data set"))
    folder = pathlib.Path(source).expanduser()
    if not folder.is_dir():
        raise GaitError(f"--source {source} is not a folder; give the one of the ids")
    sequences = sorted(path for path in folder.glob("*/*/*") if path.is_dir())
    if not sequences:
        raise GaitError(
            f"{folder} holds no sequences, expected <id>/<type>/<view>/<view>.pkl as "
            "OpenGait's pretreatment writes them"
        )
    return OpenGait(root, name, sequences, processes)


class OpenGait(tfds.core.GeneratorBasedBuilder):
    """Converts the pickles in parallel, in the order of their names."""

    VERSION = tfds.core.Version("1.0.0")
    url_infos = None  # nothing is downloaded; TFDS would look for check sums

    def __init__(
        self,
        root: pathlib.Path,
        name: str,
        sequences: list[pathlib.Path],
        processes: int,
    ):
        self.name, self._sequences, self._processes = name, sequences, processes
        super().__init__(data_dir=root, file_format="array_record")

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            features=common.features({"sils": (64, 64)}),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager) -> dict:
        layout = layouts()[self.name]
        rules = {"train": layout.is_train, "test": layout.is_test}
        splits = {}
        for split, belongs in rules.items():
            chosen = [p for p in self._sequences if belongs(p.parts[-3])]
            found = {p.parts[-3] for p in self._sequences}
            if not chosen:
                some = ", ".join(sorted(found)[:3])
                raise GaitError(
                    f"{self.name}: none of the {len(found)} ids found ({some}, ...) "
                    f"belongs to the {split} split; give the folder of all ids"
                )
            splits[split] = self._generate_examples(chosen, split)
        return splits

    def _generate_examples(
        self, sequences: list[pathlib.Path], split: str
    ) -> Iterator[tuple[int, dict]]:
        label = f"preparing {self.name} ({split})"
        yield from enumerate(
            common.in_processes(read_sequence, sequences, self._processes, label)
        )


def read_sequence(folder: pathlib.Path) -> dict[str, str | int | np.ndarray]:
    """One `id/type/view` folder as a record."""
    files = sorted(folder.glob("*.pkl"))
    if not files:
        raise GaitError(f"{folder} holds no .pkl; remove it or prepare it again")
    sils = safe_pickle.load(files[0])
    if not isinstance(sils, np.ndarray) or sils.dtype != np.uint8:
        kind = getattr(sils, "dtype", type(sils).__name__)
        raise GaitError(f"{files[0]}: expected uint8 silhouettes [t,64,64], got {kind}")
    if sils.ndim != 3 or sils.shape[1:] != (64, 64) or not len(sils):
        shape = "x".join(map(str, sils.shape))
        raise GaitError(f"{files[0]}: expected silhouettes [t,64,64], got {shape}")
    subject, condition, view = folder.parts[-3:]
    take = condition.rpartition("-")[2]
    labels = {"subject": subject, "condition": condition, "view": view, "take": take}
    return {**labels, "num_frames": len(sils), "sils": sils}
