"""The policy as pure functions: text in, text or values out. No I/O, no clock, standard library only."""
