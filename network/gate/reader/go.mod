module codetainer/reader

go 1.25.0
