"""What happens to a batch on the device before the method sees it.

Bytes come as they are stored, or, where the device holds the training pictures, as
their numbers; here they become the clips, augmented as `data.augment` drew it. Both
ways give the same bytes, because from the gathering on they are one program.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec
from tqdm import tqdm

from gaitjax.data import resident
from gaitjax.data.pipeline import Data
from gaitjax.errors import GaitError
from gaitjax.methods.api import Batch
from gaitjax.ops.augment import augment
from gaitjax.runtime import mesh as devices

SHARE = 0.7  # chosen: of a device's memory; the network and its gradients want some


def make_prepare(data: Data, mesh: Mesh) -> Callable[[Batch], Batch]:
    """The start of a training step: batch as it was sent -> batch of clips. Pure.

    mesh: over whose devices the batch, and pictures that they hold, are cut.
    """
    chances = data.augment

    def prepare(batch: Batch) -> Batch:
        draws = {key: x for key, x in batch.items() if key.startswith("draw/")}
        batch = {key: x for key, x in batch.items() if key not in draws}
        batch = gather(batch, mesh)
        for name, draw in draws.items():
            key = name.removeprefix("draw/")
            batch[key] = augment(
                batch[key],
                draw,
                data.shapes([key])[key][1],
                perspective=chances.perspective > 0,
                flip=chances.flip > 0,
                rotate=chances.rotate > 0,
                erase=chances.erase > 0,
            )
        return batch

    return prepare


def gather(batch: Batch, mesh: Mesh) -> Batch:
    """Clips u8 [n, t, ...] in place of `frames` i32 [n, t], their places in the stores
    u8 [f, ...]; zeros where masked. A batch without stores stays as it is."""
    stores = {key: x for key, x in batch.items() if key.startswith("store/")}
    if not stores:
        return batch
    frames, mask = batch["frames"], batch["mask"]
    batch = {key: x for key, x in batch.items() if key not in {"frames", *stores}}
    if mesh.size == 1:
        made = {key: store[frames] for key, store in stores.items()}
    else:
        made = _exchanged(stores, frames, mesh)
    for key, clips in made.items():
        batch[key.removeprefix("store/")] = _where(mask > 0, clips)
    return batch


def _exchanged(
    stores: dict[str, jax.Array], frames: jax.Array, mesh: Mesh
) -> dict[str, jax.Array]:
    """`store[frames]`, of which each device gets its own rows and no others. Left to
    itself the compiler sums the whole batch on every device."""
    (axis,) = mesh.axis_names
    rows = PartitionSpec(axis)
    take = functools.partial(_from_parts, axis=axis)
    return jax.shard_map(take, mesh=mesh, in_specs=(rows, rows), out_specs=rows)(
        stores, frames
    )


def _from_parts(
    stores: dict[str, jax.Array], frames: jax.Array, axis: str
) -> dict[str, jax.Array]:
    """A device's parts and rows: u8 [f / N, ...], i32 [n / N, t] -> u8 [n / N, t, ...].

    Each frame is in one part, so the sum over devices is that frame.
    """
    frames = jax.lax.all_gather(frames, axis, tiled=True)  # [n, t]
    made = {}
    for key, store in stores.items():
        place = frames - len(store) * jax.lax.axis_index(axis)
        here = (place >= 0) & (place < len(store))
        clips = _where(here, store[jnp.where(here, place, 0)])  # [n, t, ...]
        made[key] = jax.lax.psum_scatter(clips, axis, tiled=True)
    return made


def _where(there: jax.Array, clips: jax.Array) -> jax.Array:
    """bool [n, t], [n, t, ...]: zeros elsewhere."""
    there = there.reshape(*there.shape, *(1,) * (clips.ndim - 2))
    return jnp.where(there, clips, jnp.zeros((), clips.dtype))


def load(data: Data, keys: Sequence[str], mesh: Mesh) -> dict[str, jax.Array]:
    """{"store/<modality>": u8 [frames, ...]}, cut over the devices along its frames;
    nothing unless `data.resident`. Raises GaitError where that does not fit."""
    store = data.store(keys)
    if store is None:
        return {}
    check_fits(store, mesh)
    per_device = -(-store.frames // mesh.size)
    sharding = devices.split(mesh)
    made: dict[str, list[jax.Array]] = {key: [] for key in store.shapes}
    length = per_device * mesh.size
    places = sharding.addressable_devices_indices_map((length,))
    for device, (part,) in tqdm(places.items(), "training pictures to the devices"):
        first = part.start or 0
        frames = resident.read(
            store, data.train, first, first + per_device, data.cut_early
        )
        for key, array in frames.items():
            made[key].append(jax.device_put(array, device))
    return {
        f"store/{key}": jax.make_array_from_single_device_arrays(
            (length, *store.shapes[key]), sharding, arrays
        )
        for key, arrays in made.items()
    }


def check_fits(store: resident.Store, mesh: Mesh) -> None:
    """GaitError where a device's part is more than its memory is for."""
    part = store.bytes / mesh.size
    there = free_bytes(mesh.local_devices[0])
    if part > SHARE * there:
        raise GaitError(
            f"data.resident: the training pictures are {gib(store.bytes)}, "
            f"{gib(part)} on each of {mesh.size} devices, which have {gib(there)} free "
            f"and want {1 - SHARE:.0%} of it for the network; use more devices, or "
            "data.resident=False"
        )


def free_bytes(device: jax.Device) -> int:
    """Of a device's memory; of the machine's where it does not say."""
    stats = device.memory_stats()
    if stats and "bytes_limit" in stats:
        return stats["bytes_limit"] - stats["bytes_in_use"]
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def gib(number: float) -> str:
    """A number of bytes to read."""
    return f"{number / 2**30:,.2f} GiB"
