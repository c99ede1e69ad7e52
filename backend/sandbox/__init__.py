"""`codetainer up` and its companions: run a sandbox in namespaces of this machine, without a container engine."""
