"""All that the front ends may know of the backend: events, the state they fold into, paths, control requests. No I/O."""
