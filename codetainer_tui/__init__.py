"""The front ends: they read the journal, send requests to the control socket, and start the backend as a process."""
