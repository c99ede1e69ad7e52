"""The interface of backend and front ends: events, the state that they fold into, paths, control requests. No I/O."""
