"""Measurements: one module for each subject, one function for each measurement. `make bench` runs them all."""
