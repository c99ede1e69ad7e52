"""Metrics for Prometheus: `tally` counts the journal, `exposition` writes OpenMetrics, `server` serves it."""
