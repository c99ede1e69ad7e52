"""The sandbox as Prometheus reads it: the journal counted (tally), written as OpenMetrics (exposition), served (server)."""
