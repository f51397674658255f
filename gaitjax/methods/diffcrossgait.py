"""DiffCrossGait (Lu and Cheng, ICML 2026, arXiv 2606.00153): silhouettes and LiDAR
range views of one person, aligned along a latent diffusion with shared noise.

Two encoders give a feature map each. A discriminative 1 x 1 per modality leads to the
embedding, exactly as in `crossmodal`; a generative 1 x 1, shared, leads to the latents
of a diffusion. The same noise is added to both latents of a pair, and one light U-Net
takes it away again, three times per step: at small noise the cleaned latent must still
say who it is (phase 1), at middle noise both modalities must be cleaned alike, each by
its own prior (phase 2), at large noise each by the other's (phase 3). All this is for
training alone: `embed` does not touch it, and `--mode export` leaves it out.

What the paper does not state is chosen and marked "not stated"; docs/diffcrossgait.md
has the reasons.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from gaitjax.arguments import at_least
from gaitjax.backbones.gaitbase import check_sizes
from gaitjax.errors import GaitError
from gaitjax.layers.conv import Conv, identity
from gaitjax.layers.denoiser import Block, Denoiser
from gaitjax.losses.diffusion import (
    Interval,
    Schedule,
    add_noise,
    alpha_bars,
    phase_intervals,
    remove_noise,
    sample_steps,
)
from gaitjax.methods.api import Batch, Info, Method, Tree
from gaitjax.methods.crossmodal import check_inputs, discriminative_loss, frames_of
from gaitjax.methods.streams import (
    Arrays,
    Encoders,
    SharedHead,
    TrunkName,
    encoders_of,
    join,
)

TOKEN_DIMS = 256  # not stated


def make(
    info: Info,
    *,
    dtype: jnp.dtype = jnp.float32,
    inputs: tuple[str, ...] = ("sils", "ranges"),
    binary: tuple[str, ...] = (),
    encoder: TrunkName = "resnet9",
    channels: tuple[int, ...] = (64, 128, 256, 512),
    strides: tuple[int, ...] = (1, 2, 2, 1),
    blocks: tuple[int, ...] | None = None,
    bins: tuple[int, ...] = (16,),
    features: int = 256,
    downsample: int = 1,
    margin: float = 0.2,
    triplet_weight: float = 0.5,
    ce_weight: float = 1.0,
    ce_scale: float = 16.0,
    ce_smoothing: float = 0.1,
    phases: tuple[int, ...] = (1, 2, 3),
    num_steps: int = 100,
    schedule: Schedule = "linear",
    small_noise: float = 0.95,
    large_noise: float = 0.5,
    root_thresholds: bool = False,
    strict_phases: bool = False,
    id_weight: float = 1.0,
    eps_weight: float = 0.5,
    mid_weight: float = 0.5,
    rec_weight: float = 0.1,
    noise_weight: float = 0.0,
    fixed_targets: bool = True,
    prior_gradient: bool = True,
    unit_latents: bool = True,
    shared_noise: bool = True,
    identity_heads: bool = True,
    centre: bool = False,
    decoupled: bool = True,
    token: bool = True,
    axial: bool = True,
    independent: bool = False,
    denoiser_features: int = 256,
    denoiser_block: Block = "separable",
    denoiser_heads: int = 8,
) -> Method:
    """inputs ... ce_smoothing: as in `crossmodal`; here each direction of the triplet
    counts half (not stated; the authors' earlier method).

    phases: those that are trained, () is the network without its diffusion. num_steps,
    schedule, small_noise, large_noise, root_thresholds, strict_phases: see
    `losses.diffusion`; thresholds are on alpha-bar, or on its root. Weights of the
    phases' losses (none stated): id (phase 1); eps and mid, both modalities' noise and
    bridging states alike, and rec, the latents' reconstruction (2 and 3); noise, the
    plain error of the noise (all; not in the paper).
    fixed_targets: no gradient into the latents that are reconstructed. prior_gradient:
    gradient through the prior. unit_latents: latents have mean 0 and variance 1.
    identity_heads: the 1 x 1 heads change nothing at first, else they are random.
    centre: at test time embeddings lose their modality's mean (not in the paper).
    The paper's ablations: shared_noise, decoupled (heads), token, axial (attention) set
    to False; independent (a U-Net per modality); denoiser_features=512 with
    denoiser_block="full" (the heavy one).
    """
    check_inputs(info, inputs, binary, downsample)
    check_sizes("method_args", channels, strides, bins, features)
    check_phases(phases, denoiser_features, denoiser_heads)
    left = alpha_bars(num_steps, schedule)
    intervals, note = phase_intervals(
        np.sqrt(left) if root_thresholds else left,
        small_noise,
        large_noise,
        strict=strict_phases,
    )
    if note and 3 in phases:
        print(f"note: {note}")
    phases = tuple(sorted(phases))
    diffusion = Diffusion(
        phases,
        tuple(intervals[phase - 1] for phase in phases),
        tuple(left.tolist()),
        shared_noise,
        unit_latents,
        prior_gradient,
        fixed_targets,
    )
    weights = dict(
        id=id_weight,
        eps=eps_weight,
        mid=mid_weight,
        rec=rec_weight,
        noise=noise_weight,
    )
    model = DiffCrossGait(
        info.num_classes if ce_weight else 0,
        tuple(inputs),
        encoders_of(encoder, channels, strides, blocks, bins, 0, dtype),
        tuple(bins),
        features,
        channels[-1],
        functools.partial(
            Denoiser, denoiser_features, denoiser_block, denoiser_heads, axial, dtype
        ),
        identity_heads,
        centre,
        decoupled,
        token,
        independent,
        dtype,
    )
    discriminative = discriminative_loss(
        margin, triplet_weight, ce_weight, ce_scale, ce_smoothing
    )

    def run(variables: Tree, batch: Batch, **kwargs):
        frames = frames_of(batch, inputs, binary, downsample)
        return model.apply(variables, frames, batch["mask"], **kwargs)

    def init(rng: jax.Array, batch: Batch) -> tuple[Tree, Tree]:
        frames = frames_of(batch, inputs, binary, downsample)
        start = model.everything if phases else model.__call__
        variables = dict(
            model.init(rng, frames, batch["mask"], train=False, method=start)
        )
        return variables.pop("params"), variables

    def loss(
        params: Tree, model_state: Tree, batch: Batch, rng: jax.Array
    ) -> tuple[jax.Array, tuple[Tree, dict]]:
        variables, labels = {"params": params, **model_state}, batch["label"]
        options = dict(train=True, mutable=tuple(model_state))
        out, new_state = run(variables, batch, latents=bool(phases), **options)
        total, metrics = discriminative(out, labels)
        if not phases:
            return total, (new_state, metrics)

        def recognise(maps: Arrays) -> dict[str, Arrays]:
            # The BNNecks' running statistics are those of the embeddings: what phase
            # 1 does to them is thrown away (not stated).
            out, _ = model.apply(variables, maps, method=model.recognise, **options)
            return out

        denoise = functools.partial(model.apply, variables, method=model.denoise)
        found = denoised(diffusion, denoise, out["latents"], rng)
        terms, values = phase_losses(
            diffusion, found, lambda maps: discriminative(recognise(maps), labels)
        )
        for name, term in terms.items():
            total += weights[name.partition("_")[2]] * term
            metrics[f"{name}/loss"] = term
        return total, (new_state, metrics | values)

    def embed(
        params: Tree, model_state: Tree, batch: Batch, rng: jax.Array | None = None
    ) -> Arrays:
        return run({"params": params, **model_state}, batch, train=False)["embeddings"]

    def trajectory(
        params: Tree, model_state: Tree, batch: Batch, rng: jax.Array, step: jax.Array
    ) -> dict[str, jax.Array]:
        variables = {"params": params, **model_state}
        out = run(variables, batch, train=False, latents=True)
        denoise = functools.partial(model.apply, variables, method=model.denoise)
        at = dataclasses.replace(diffusion, phases=(2,), intervals=((step, step),))
        return gaps(denoised(at, denoise, out["latents"], rng))

    return DiffusionMethod(
        train_keys=tuple(inputs),
        embed_keys=tuple(inputs),
        init=init,
        loss=loss,
        embed=embed,
        trajectory=trajectory if phases else None,
    )


@dataclasses.dataclass(frozen=True)
class DiffusionMethod(Method):
    """trajectory(params, model_state, batch, rng, step) -> `gaps` at that step."""

    trajectory: Callable[..., dict[str, jax.Array]] | None = None


def check_phases(phases: Sequence[int], features: int, heads: int) -> None:
    """Raises GaitError for phases that do not exist, heads that do not divide."""
    if len(set(phases)) != len(phases) or not set(phases) <= {1, 2, 3}:
        raise GaitError(
            f"method_args.phases: expected some of 1, 2, 3, got {tuple(phases)}; () is "
            "without the diffusion"
        )
    at_least(1, method_args__denoiser_features=features)
    at_least(1, method_args__denoiser_heads=heads)
    if features % heads:
        raise GaitError(
            f"method_args.denoiser_heads={heads} does not divide denoiser_features="
            f"{features}; choose a divisor"
        )


class DiffCrossGait(nn.Module):
    """Encoders, heads and denoiser; the last two parts of training alone.

    inputs: the modalities, in the order of axis m below. denoiser: makes a U-Net.
    """

    num_classes: int
    inputs: Sequence[str]
    encoders: Encoders
    bins: Sequence[int]
    features: int
    latent_channels: int
    denoiser: Callable[..., Denoiser]
    identity_heads: bool = True
    centre: bool = False
    decoupled: bool = True
    token: bool = True
    independent: bool = False
    dtype: jnp.dtype = jnp.float32

    def setup(self):
        conv = functools.partial(Conv, self.latent_channels, 1, dtype=self.dtype)
        if self.identity_heads:
            # Random ones would put the modalities' embeddings far apart, however alike
            # their maps are, and no loss on embeddings minds (not stated).
            conv = functools.partial(conv, init=identity)
        self.dis = {key: conv() for key in self.inputs}
        self.gen = conv()
        self.head = SharedHead(self.num_classes, self.bins, self.features, self.centre)
        count = len(self.inputs) if self.independent else 1
        self.unets = [self.denoiser() for _ in range(count)]

    def __call__(
        self,
        frames: Mapping[str, jax.Array],
        mask: jax.Array,
        *,
        train: bool,
        latents: bool = False,
    ) -> dict[str, Arrays]:
        """Frames by modality, mask [n, t] -> see `SharedHead`; with `latents` these
        too, [n, h, w, c] by modality."""
        maps = self.encoders(frames, mask, train=train)
        found = {key: self.dis[key](x) for key, x in maps.items()}
        out = self.head(found, train=train)
        if latents and self.decoupled:
            out["latents"] = {key: self.gen(x) for key, x in maps.items()}
        elif latents:
            out["latents"] = found
        return out

    def recognise(self, maps: Mapping[str, jax.Array], *, train: bool):
        """Maps that are discriminative already, through the shared head."""
        return self.head(maps, train=train)

    @nn.compact
    def denoise(
        self, noisy: jax.Array, steps: jax.Array, priors: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """noisy [n, p, m, h, w, c], steps [n, p], priors [n, p, m, d] of p phases and m
        modalities -> the noise, like `noisy`, and bridging states [n, p, m, ...].

        One pass of the U-Net for all of them (one per modality if independent).
        """
        n, p, m = priors.shape[:3]
        steps = jnp.broadcast_to(steps[:, :, None], (n, p, m))
        if self.token:
            made = nn.initializers.normal(0.02)
            token = self.param("token", made, (TOKEN_DIMS,))
            token = jnp.broadcast_to(token, (n, p, m, TOKEN_DIMS))
            priors = jnp.concatenate([token, priors], -1)
        outs = []
        shares = np.split(np.arange(m), len(self.unets))
        for unet, at in zip(self.unets, shares, strict=True):
            shape = (n, p, len(at))
            args = [
                x[:, :, at].reshape(-1, *x.shape[3:]) for x in (noisy, steps, priors)
            ]
            outs.append([y.reshape(*shape, *y.shape[1:]) for y in unet(*args)])
        noise, bridge = (jnp.concatenate(ys, 2) for ys in zip(*outs, strict=True))
        return noise, bridge

    def everything(
        self, frames: Mapping[str, jax.Array], mask: jax.Array, *, train: bool
    ) -> None:
        """Calls all there is, for its parameters."""
        out = self(frames, mask, train=train, latents=True)
        join(out["latents"])  # of one shape
        z = jnp.stack(list(out["latents"].values()), 1)[:, None]
        self.denoise(z, jnp.ones((len(z), 1), jnp.int32), z.mean((3, 4)))


@dataclasses.dataclass(frozen=True)
class Diffusion:
    """What happens to latents in training.

    phases: 1, 2, 3 or some; intervals: the steps of each. left: alpha-bar of step 1,
    2, ... The rest: see `make`.
    """

    phases: tuple[int, ...]
    intervals: tuple[Interval, ...]
    left: tuple[float, ...]
    shared_noise: bool
    unit_latents: bool
    prior_gradient: bool
    fixed_targets: bool


@dataclasses.dataclass(frozen=True)
class Denoised:
    """What came out of the denoiser: [n, p, m, ...] of p phases and m modalities.

    latents [n, m, h, w, c]: what noise was added to. maps: cleaned latents [n, m, h, w,
    c] -> feature maps by modality.
    """

    latents: jax.Array
    noise: jax.Array
    guess: jax.Array
    bridge: jax.Array
    clean: jax.Array
    maps: Callable[[jax.Array], Arrays]


def denoised(
    diffusion: Diffusion,
    denoise: Callable[..., tuple[jax.Array, jax.Array]],
    latents: Mapping[str, jax.Array],
    rng: jax.Array,
) -> Denoised:
    """Adds noise to latents [n, h, w, c] of two modalities, in every phase, and has it
    taken away: by the own prior, in phase 3 by the other's.

    The step is drawn per sample, the noise per sample and phase (neither is stated);
    both are the same for the two modalities.
    """
    keys = list(latents)
    join(latents)  # of one shape
    z = jnp.stack([latents[key] for key in keys], 1).astype(jnp.float32)
    axes, mean, scale = (2, 3, 4), 0.0, 1.0
    if diffusion.unit_latents:
        # Thresholds on what is left of the signal mean something only if its variance
        # is that of the noise (not stated).
        mean = z.mean(axes, keepdims=True)
        scale = jnp.sqrt(jnp.square(z - mean).mean(axes, keepdims=True) + 1e-6)
        z = (z - mean) / scale
    n, m = z.shape[:2]
    p = len(diffusion.phases)
    for_steps, for_noise = jax.random.split(rng)
    steps = sample_steps(for_steps, diffusion.intervals, n)  # [n, p]
    left = jnp.asarray(diffusion.left)[steps - 1].reshape(n, p, 1, 1, 1, 1)
    kinds = 1 if diffusion.shared_noise else m
    noise = jax.random.normal(for_noise, (n, p, kinds, *z.shape[2:]))
    noise = jnp.broadcast_to(noise, (n, p, m, *z.shape[2:]))
    noisy = add_noise(z[:, None], noise, left)  # [n, p, m, h, w, c]
    prior = z.mean((2, 3))  # [n, m, c]
    if not diffusion.prior_gradient:
        prior = jax.lax.stop_gradient(prior)
    crossed = [prior[:, ::-1] if phase == 3 else prior for phase in diffusion.phases]
    guess, bridge = denoise(noisy, steps, jnp.stack(crossed, 1))
    clean = remove_noise(noisy, guess, left)

    def maps(clean: jax.Array) -> Arrays:
        return {key: (clean * scale + mean)[:, i] for i, key in enumerate(keys)}

    return Denoised(z, noise, guess, bridge, clean, maps)


def phase_losses(
    diffusion: Diffusion,
    found: Denoised,
    discriminative: Callable[[Arrays], tuple[jax.Array, dict]],
) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
    """{"phase2_eps": scalar, ...} and the metrics of phase 1's recognition.

    discriminative: of feature maps by modality. Squared errors are means over all
    elements and both modalities (norms are not stated).
    """
    target = found.latents
    if diffusion.fixed_targets:
        target = jax.lax.stop_gradient(target)
    terms, metrics = {}, {}
    for i, phase in enumerate(diffusion.phases):
        guess, bridge, clean = (
            x[:, i] for x in (found.guess, found.bridge, found.clean)
        )
        if phase == 1:
            terms["phase1_id"], values = discriminative(found.maps(clean))
            metrics = {f"phase1_{name}": value for name, value in values.items()}
        else:
            wanted = target if phase == 2 else target[:, ::-1]
            terms[f"phase{phase}_eps"] = mean_square(guess[:, 0], guess[:, 1])
            terms[f"phase{phase}_mid"] = mean_square(bridge[:, 0], bridge[:, 1])
            terms[f"phase{phase}_rec"] = mean_square(clean, wanted)
        terms[f"phase{phase}_noise"] = mean_square(guess, found.noise[:, i])
    return terms, metrics


def mean_square(x: jax.Array, y: jax.Array) -> jax.Array:
    """Mean over all elements of (x - y)^2."""
    return jnp.square(x - y).mean()


def gaps(found: Denoised) -> dict[str, jax.Array]:
    """How far the modalities of each pair are apart, [n] each, in the first phase.

    rec, mid, eps: of cleaned latents, bridging states, predicted noise; end: of the
    latents themselves; where eps is 0, rec is end. Root mean squares, so that sizes of
    maps do not matter. And noise: of predicted noise and the true one; a denoiser that
    has learnt nothing has 1.
    """

    def apart(x: jax.Array) -> jax.Array:  # [n, m, ...]
        square = jnp.square(x[:, 0] - x[:, 1])
        return jnp.sqrt(square.mean(tuple(range(1, square.ndim))))

    return {
        "rec": apart(found.clean[:, 0]),
        "mid": apart(found.bridge[:, 0]),
        "eps": apart(found.guess[:, 0]),
        "end": apart(found.latents),
        "noise": apart(jnp.stack([found.guess[:, 0], found.noise[:, 0]], 1)),
    }
