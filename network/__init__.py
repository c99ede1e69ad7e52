"""What is allowed, as values: text in, text or values out. No I/O, no clock, standard library only."""
