"""Which exchanges are copied and scored, decided before anything is copied."""

from monitor.sampling.rates import RateSampler, Sampler

__all__ = ["RateSampler", "Sampler"]
