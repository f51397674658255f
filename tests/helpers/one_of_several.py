"""A process of `python -m gaitjax.main` that gets SIGTERM in the middle of a step.

usage: python one_of_several.py STEP [flags of gaitjax.main], from 1 on; 0 is never.
"""

import os
import signal
import sys
import time

from absl import app

from gaitjax import main
from gaitjax.runtime import mesh


def stop_at(step: int) -> None:
    original, seen = mesh.to_devices, []

    def to_devices(batch, *args):
        if "label" in batch:
            seen.append(1)
            if len(seen) == step:
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(3)  # JAX looks for it once a second
        return original(batch, *args)

    mesh.to_devices = to_devices


if __name__ == "__main__":
    stop_at(int(sys.argv.pop(1)))
    app.run(main.main, flags_parser=main.parse)
