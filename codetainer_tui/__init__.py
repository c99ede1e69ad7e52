"""What the operator sees and asks. Reads the journal, asks through the control socket, starts the backend as a process."""
