"""Settings of the whole suite."""

import jax
import pytest
from absl import flags

# Four devices, so that sharded code is sharded in every test that asks for it.
jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_numpy_dtype_promotion", "strict")
# Grain's worker processes look at absl's flags, which pytest never parses.
flags.FLAGS.mark_as_parsed()


@pytest.fixture(scope="session", autouse=True)
def data_dir(tmp_path_factory):
    """Prepared data sets of the suite; nothing is read from the user's cache."""
    patch = pytest.MonkeyPatch()
    directory = tmp_path_factory.mktemp("gaitjax_data")
    patch.setenv("GAITJAX_DATA", str(directory))
    yield directory
    patch.undo()
