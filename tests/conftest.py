"""Settings of the whole suite, and the sets that it shares."""

import copy
import os
import pathlib

import jax
import pytest
from absl import flags

from configs import walkers as walkers_config
from gaitjax.data.pipeline import make_data

# Four devices, so that sharded code is sharded in every test that asks for it.
jax.config.update("jax_num_cpu_devices", 4)
# Grain's worker processes look at absl's flags, which pytest never parses.
flags.FLAGS.mark_as_parsed()


@pytest.fixture(autouse=True)
def strict_dtypes(request):
    """No silent promotion in our own numerics (optax itself promotes)."""
    ours = request.node.path.parent.name in ("ops", "losses", "layers", "backbones")
    with jax.numpy_dtype_promotion("strict" if ours else "standard"):
        yield


@pytest.fixture(scope="module", autouse=True)
def quick_compiles(request):
    """Where compiling takes longer than what is compiled: a quarter less in these
    folders. All else is tested as users have it compiled."""
    often = request.node.path.parent.name in ("layers", "methods", "backbones")
    jax.config.update("jax_disable_most_optimizations", often)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(scope="session", autouse=True)
def data_dir(tmp_path_factory):
    """Prepared sets of the suite, shared by xdist's workers; not the user's cache."""
    base = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        base = base.parent
    patch = pytest.MonkeyPatch()
    patch.setenv("GAITJAX_DATA", str(base / "gaitjax_data"))
    # What one test has compiled, the next one finds.
    jax.config.update("jax_compilation_cache_dir", str(base / "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)
    yield pathlib.Path(base / "gaitjax_data")
    patch.undo()


@pytest.fixture(scope="session")
def _tiny_config(data_dir):
    config = walkers_config.get_config("tiny").to_dict()
    config["data"]["args"]["processes"] = 1
    config["log"]["tensorboard"] = False
    return config


@pytest.fixture
def tiny_config(_tiny_config):
    """configs/walkers.py:tiny as plain dicts, to be changed at will."""
    return copy.deepcopy(_tiny_config)


@pytest.fixture(scope="session")
def tiny_data(_tiny_config):
    """The prepared set of `tiny_config`."""
    return make_data(**_tiny_config["data"])
