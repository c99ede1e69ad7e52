module codetainer/userns

go 1.25.0
