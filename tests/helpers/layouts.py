"""Trees as the data sets have them, written by their twins: `id/type/view/*.pkl`."""

import json
import pathlib
import pickle

import numpy as np
from PIL import Image

from gaitjax.data.builders import walkers

# What the file writers below need; the others need silhouettes.
KEYS = {
    "sustech1k": ("sils", "ranges", "points"),
    "freegait": ("sils", "ranges", "points", "joints", "smpl"),
    "gait3d": ("sils", "smpl"),
    "skeleton": ("sils", "heatmaps"),
}


def write_tree(
    root: pathlib.Path,
    name: str,
    *,
    files: str | None = None,
    num_train: int = 2,
    num_test: int = 2,
    frames: int = 3,
) -> dict:
    """Writes the tree of a data set; what `make_builder` needs to read it.

    files: the names and number of files of a sequence are those of another set.
    """
    files = files or name
    keys = KEYS.get(files, ("sils",))
    sizes = {"num_train": num_train, "num_test": num_test, "frames": frames}
    people, lists = _people(name, sizes, keys)
    ids = {"TRAIN_SET": [], "TEST_SET": []}
    for is_test, records in people:
        for record in records:
            folder = root / record["subject"] / record["condition"] / record["view"]
            folder.mkdir(parents=True)
            arrays = {key: record[key] for key in keys}
            WRITERS.get(files, _plain)(folder, arrays)
            names = ids["TEST_SET" if is_test else "TRAIN_SET"]
            if record["subject"] not in names:
                names.append(record["subject"])
    partition = root.parent / f"{root.name}.json"
    partition.write_text(json.dumps(ids | lists))
    return {"source": str(root), "partition": str(partition)}


def put(path: pathlib.Path, value: object) -> None:
    """Writes a pickle."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(value))


def _people(name: str, sizes: dict, keys: tuple[str, ...]) -> tuple[list, dict]:
    """(is_test, records) per person, and the published lists."""
    twin = {"casia_e": "walkers_casia_b", "folder": "walkers_outdoor_gait"}.get(
        name, f"walkers_{name}"
    )
    builder = walkers.make_builder("unused", twin, modalities=keys, **sizes)
    world = builder.builder_config.world
    people = [(False, n) for n in range(world.num_train)]
    people += [(True, n) for n in range(world.num_test)]
    made = []
    for is_test, number in people:
        records = walkers.records(
            walkers.make_person(number, world=world, is_test=is_test)
        )
        made.append(
            (is_test, [_casia_e(r) if name == "casia_e" else r for r in records])
        )
    lists = {f"{key.upper()}_SET": names for key, names in builder.lists().items()}
    return made, lists


def _casia_e(record: dict) -> dict:
    """CASIA-B's walks as walks of CASIA-E: the odd takes are of scene 1."""
    word, take = record["condition"].split("-")
    scene = "scene1" if int(take) % 2 else "scene2"
    return record | {
        "condition": f"H-{scene}-{word}-{(int(take) - 1) // 2 % 2 + 1}"
        if int(take) < 5
        else f"L-{scene}-{word}-1"
    }


def _plain(folder: pathlib.Path, arrays: dict) -> None:
    put(folder / f"{folder.name}.pkl", arrays["sils"])


def _ccpg(folder: pathlib.Path, arrays: dict) -> None:
    sils, view = arrays["sils"], folder.name
    put(folder / f"{view}-aligned-sils.pkl", sils)
    put(folder / f"{view}-ratios.pkl", np.full(len(sils), 0.5))
    put(folder / f"{view}-rgbs.pkl", np.zeros((len(sils), 3, 128, 128), np.uint8))
    put(folder / f"{view}-sils.pkl", np.zeros((len(sils), 128, 128), np.uint8))


def _gait3d(folder: pathlib.Path, arrays: dict) -> None:
    """Silhouettes and SMPL merged."""
    put(folder / f"sils-{folder.name}.pkl", arrays["sils"])
    put(folder / f"smpls-{folder.name}.pkl", arrays["smpl"].astype(np.float64))


def _sustech1k(folder: pathlib.Path, arrays: dict) -> None:
    """16 files: the camera at three times the LiDAR's rate, and what both have."""
    sils, view = arrays["sils"], folder.name
    clouds = [cloud[np.isfinite(cloud).all(1)] for cloud in arrays["points"]]
    size = 500 - 20 * int(folder.parent.name[:2])  # ragged between takes and frames
    clouds = [cloud[: size - i].astype(np.float64) for i, cloud in enumerate(clouds)]
    depths = arrays["ranges"].transpose(0, 3, 1, 2)
    lidar = {"PCDs": clouds, "PCDs_depths": depths, "PCDs_sils": depths[:, 0]}
    camera = {
        "Pose": np.zeros((len(sils), 17, 3)),
        "Ratios-HW": np.full((len(sils), 2), 64),
        "RGB_raw": np.zeros((len(sils), 3, 64, 64), np.uint8),
        "Sils_aligned": sils,
        "Sils_raw": sils,
    }
    number = 0
    for rate, times in (("", 3), ("sync-", 1)):
        for sensor, some in (("LiDAR", lidar), ("Camera", camera)):
            for name, value in some.items():
                if sensor == "Camera":
                    value = np.repeat(value, times, 0)
                put(folder / f"{number:02d}-{rate}{view}-{sensor}-{name}.pkl", value)
                number += 1


def _freegait(folder: pathlib.Path, arrays: dict) -> None:
    put(folder / "image.pkl", arrays["sils"])
    put(folder / "kp3d.pkl", arrays["joints"])
    put(folder / "lidar.pkl", [cloud[:200] for cloud in arrays["points"]])
    put(folder / "range_pkl.pkl", arrays["ranges"].transpose(0, 3, 1, 2))
    put(folder / "smpl.pkl", arrays["smpl"])


def _skeleton(folder: pathlib.Path, arrays: dict) -> None:
    put(folder / "0_heatmap.pkl", arrays["heatmaps"].transpose(0, 3, 1, 2))
    put(folder / "1_sil.pkl", arrays["sils"])


def _folder(folder: pathlib.Path, arrays: dict) -> None:
    """Masks as pictures, larger than the silhouettes that they become."""
    for number, sil in enumerate(arrays["sils"]):
        mask = np.pad(sil, ((8, 24), (30, 10)))
        Image.fromarray(mask).save(folder / f"{number:04d}.png")


WRITERS = {
    "ccpg": _ccpg,
    "folder": _folder,
    "freegait": _freegait,
    "gait3d": _gait3d,
    "skeleton": _skeleton,
    "sustech1k": _sustech1k,
}
