"""HRNet: known sizes, the fusion against numpy, padding, rematerialisation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gaitjax.errors import GaitError
from gaitjax.layers.hrnet import Fusion, HRNet

# Two branches, so that inputs are multiples of 8.
TINY = {"width": 4, "stem": 4, "modules": (1,), "blocks": 1}


def ones(frames):
    return jnp.ones((frames, 1, 1, 1), jnp.float32)


def frames(count, size=32):
    """Upright ellipses [count, size, size, 1] of several places and widths."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size] / size - 0.5
    where = rng.uniform(-0.2, 0.2, (count, 1, 1))
    width = rng.uniform(0.1, 0.3, (count, 1, 1))
    inside = ((x - where) / width) ** 2 + (y / 0.45) ** 2 < 1
    return jnp.asarray(inside[..., None], jnp.float32)


@pytest.fixture(scope="module")
def tiny():
    """Variables of the tiny network with five outputs."""
    net = HRNet(5, **TINY)
    init = jax.jit(lambda key: net.init(key, frames(1), ones(1), train=False))
    return init(jax.random.key(0, impl="rbg"))  # threefry takes long to compile


def forward(net):
    """variables, x, mask -> outputs and new statistics of a training step."""

    def apply(variables, x, mask):
        y, new = net.apply(variables, x, mask, train=True, mutable=["batch_stats"])
        return y, new["batch_stats"]

    return apply


@pytest.fixture(scope="module")
def apply():
    return jax.jit(forward(HRNet(5, **TINY)))


@pytest.mark.parametrize(("width", "expected"), [(48, 63_595_745), (32, 28_536_113)])
def test_number_of_parameters(width, expected):
    # The authors' pose networks: 17 joints, colour images.
    net = HRNet(17, width)
    shapes = jax.eval_shape(
        lambda key: net.init(key, jnp.zeros((1, 64, 64, 3)), ones(1), train=False),
        jax.random.key(0),
    )
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes["params"])) == expected


def conv_norm_twin(x, params, stats, stride):
    """x [m, h, w, c] with torch's padding, in float64, in plain loops."""
    conv = params["conv"]
    kernel = (conv["conv"] if "conv" in conv else conv["dense"])["kernel"]
    kernel = np.asarray(kernel, np.float64)
    if kernel.ndim == 2:
        kernel = kernel[None, None]
    size = kernel.shape[0]
    half = size // 2
    x = np.pad(x, ((0, 0), (half, half), (half, half), (0, 0)))
    rows = range(0, x.shape[1] - size + 1, stride)
    columns = range(0, x.shape[2] - size + 1, stride)
    y = np.stack(
        [
            np.stack(
                [
                    np.einsum("mabc,abcd->md", x[:, r : r + size, s : s + size], kernel)
                    for s in columns
                ],
                1,
            )
            for r in rows
        ],
        1,
    )
    bn, stats = params["bn"], stats["bn"]
    y = (y - stats["mean"]) / np.sqrt(stats["var"] + 1e-5)
    return y * bn["scale"] + bn["bias"]


def random_like(tree):
    """Numbers from N(0, 1), variances and scales from U(0.5, 1.5)."""
    rng = np.random.default_rng(1)

    def draw(path, leaf):
        if path[-1].key in ("var", "scale"):
            return rng.uniform(0.5, 1.5, leaf.shape).astype(np.float32)
        return rng.normal(size=leaf.shape).astype(np.float32)

    return jax.tree_util.tree_map_with_path(draw, tree)


def test_fusion_of_three_branches():
    rng = np.random.default_rng(2)
    shapes = [(2, 8, 4, 2), (2, 4, 2, 3), (2, 2, 1, 4)]
    xs = [rng.normal(size=shape) for shape in shapes]
    net = Fusion(3)
    inputs = [jnp.asarray(x, jnp.float32) for x in xs]
    tree = jax.eval_shape(
        lambda key: net.init(key, inputs, ones(2), train=False), jax.random.key(0)
    )
    variables = random_like(tree)
    params, stats = variables["params"], variables["batch_stats"]

    def layer(x, name, stride):
        return conv_norm_twin(x, params[name], stats[name], stride)

    def up(x, name, factor):
        return np.kron(layer(x, name, 1), np.ones((1, factor, factor, 1)))

    high, middle, low = xs
    expected = [
        high + up(middle, "up1to0", 2) + up(low, "up2to0", 4),
        layer(high, "down0to1", 2) + middle + up(low, "up2to1", 2),
        layer(np.maximum(layer(high, "down0to2_1", 2), 0), "down0to2", 2)
        + layer(middle, "down1to2", 2)
        + low,
    ]
    result = jax.jit(lambda v, x: net.apply(v, x, ones(2), train=False))(
        variables, inputs
    )
    assert len(result) == 3
    for ours, twin in zip(result, expected, strict=True):
        assert (twin < 0).any()  # that the last ReLU does something
        np.testing.assert_allclose(ours, np.maximum(twin, 0), rtol=1e-4, atol=1e-4)


def test_remat_changes_nothing(tiny):
    x, mask = frames(3, 16), ones(3)

    def step(net):
        def loss(params):
            variables = {**tiny, "params": params}
            y, stats = forward(net)(variables, x, mask)
            return jnp.square(y - 1).mean(), (y, stats)

        return jax.value_and_grad(loss, has_aux=True)

    plain, remat = (step(HRNet(5, remat=remat, **TINY)) for remat in (False, True))
    params = tiny["params"]
    assert "remat" not in str(jax.make_jaxpr(plain)(params))
    assert str(jax.make_jaxpr(remat)(params)).count("remat") >= 2  # layer1, stage2
    results = jax.jit(plain)(params), jax.jit(remat)(params)
    assert jax.tree.structure(results[0]) == jax.tree.structure(results[1])
    for ours, again in zip(*map(jax.tree.leaves, results), strict=True):
        atol = 1e-4 * float(jnp.abs(ours).max())
        np.testing.assert_allclose(again, ours, rtol=1e-3, atol=atol)


def test_remat_has_the_same_variables(tiny):
    net = HRNet(5, remat=True, **TINY)
    shapes = jax.eval_shape(
        lambda key: net.init(key, frames(1), ones(1), train=False), jax.random.key(0)
    )
    assert jax.tree.map(jnp.shape, shapes) == jax.tree.map(jnp.shape, tiny)


def test_padding_does_not_reach_real_frames(tiny, apply):
    x = frames(3)
    noise = jax.random.normal(jax.random.key(1), (2, *x.shape[1:]))
    padded = jnp.concatenate([x, noise])
    mask = jnp.asarray([1, 1, 1, 0, 0], jnp.float32).reshape(5, 1, 1, 1)
    alone, stats = apply(tiny, x, ones(3))
    masked, same = apply(tiny, padded, mask)
    seen, _ = apply(tiny, padded, ones(5))
    spread = float(alone.std())
    np.testing.assert_allclose(masked[:3], alone, atol=1e-3 * spread)
    assert float(jnp.abs(seen[:3] - alone).max()) > 0.1 * spread
    for ours, theirs in zip(*map(jax.tree.leaves, (same, stats)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_small_kernels_do_not_silence_training(tiny):
    net = HRNet(**TINY)  # without the head, whose kernel is small on purpose
    params = {k: v for k, v in tiny["params"].items() if k != "head"}
    y, _ = jax.jit(forward(net))({**tiny, "params": params}, frames(3), ones(3))
    assert y.shape == (3, 8, 8, TINY["width"])
    assert float(y.std(axis=(0, 1, 2)).min()) > 0.1


def test_half_precision(tiny, apply):
    x = frames(3)
    full, _ = apply(tiny, x, ones(3))
    net = HRNet(5, dtype=jnp.bfloat16, **TINY)
    half, stats = jax.jit(forward(net))(tiny, x, ones(3))
    assert half.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(stats)} == {jnp.dtype("float32")}
    pair = (np.asarray(y, np.float32).ravel() for y in (full, half))
    assert np.corrcoef(*pair)[0, 1] > 0.98


@pytest.mark.parametrize(
    ("modules", "size", "message"),
    [
        ((1, 1, 1), (64, 44), "multiples of 32, got 64 x 44; zero-pad them to 64 x 64"),
        ((1, 1, 1), (16, 32), "multiples of 32, got 16 x 32; zero-pad them to 32 x 32"),
        ((1, 1), (40, 16), "multiples of 16, got 40 x 16; zero-pad them to 48 x 16"),
    ],
)
def test_sizes_that_do_not_halve(modules, size, message):
    net = HRNet(width=4, stem=4, modules=modules, blocks=1)
    x = jnp.zeros((1, *size, 1))
    with pytest.raises(GaitError, match=message):
        net.init(jax.random.key(0), x, ones(1), train=False)


@pytest.mark.parametrize("size", [(32, 32), (64, 64), (64, 32)])
def test_quarter_of_the_size(size):
    net = HRNet(7, width=4, stem=4, modules=(1, 1, 1), blocks=1)
    x = jnp.zeros((2, *size, 1))
    shape = jax.eval_shape(
        lambda key: net.init_with_output(key, x, ones(2), train=True)[0],
        jax.random.key(0),
    ).shape
    assert shape == (2, size[0] // 4, size[1] // 4, 7)
