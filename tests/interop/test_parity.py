"""Every golden network of tests/goldens, by the function behind check_parity.py."""

import golden
import pytest

from gaitjax.interop import parity

NETWORKS = sorted(
    path.stem for path in golden.ROOT.glob("*.npz") if path.stem != "inputs"
)


@pytest.mark.parametrize("name", NETWORKS)
def test_network_equals_golden(name):
    rows = parity.check_network(golden.ROOT, name)
    assert [row for row in rows if not row.ok] == []
    outputs = {"embeddings", "logits", "var_embeddings", "var_logits"}
    outputs = (outputs | {"packed_embeddings"}) & golden.load(name).keys()
    assert {row.what for row in rows} >= {"parameters", "feature map", *outputs}
