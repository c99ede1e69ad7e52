"""`up`: a sandbox in namespaces of this machine, without a container engine. Nothing of it has a name outside itself."""
