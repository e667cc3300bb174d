"""Stochastic training on device-resident data; the only place that knows skorch's internals."""
