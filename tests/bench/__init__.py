"""Measurements: one module a subject, one function a measurement; `make bench` runs them all."""
