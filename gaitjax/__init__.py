"""gaitjax: gait recognition in JAX/Flax, made for accelerator throughput."""

__version__ = "0.1.0"
