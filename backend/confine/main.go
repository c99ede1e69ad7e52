// confine /PATH/TO/PROGRAM [ARGUMENT ...]: runs a program under the agent's system call filter. The program and its children cannot
// remove the filter.
//
// For each of the agent's processes, root runs confine, which runs setpriv. In the opposite order, there would be a moment in which
// the process has the agent's uid but no filter yet. The agent could attach to it (ptrace(2)) and make any call through it.
//
// The operator's switch (CODETAINER_SECCOMP) is a line in a file owned by root, which boot writes before the agent starts
// (backend/contract/front_end.py). If the file cannot be read, the filter is on.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
)

const (
	switchFile = "/run/codetainer/front-end"
	switchOff  = "seccomp=off"
	notRun     = 126 // exit codes as in a shell: found but cannot be run, not found
	notFound   = 127
)

// Keeps main on the main thread, which loads the filter and executes the program. A parent-death signal (prctl(2),
// PR_SET_PDEATHSIG) that was set before belongs to this thread alone.
func init() {
	runtime.LockOSThread()
}

func main() {
	if len(os.Args) < 2 {
		fail(2, "usage: confine /PATH/TO/PROGRAM [ARGUMENT ...]")
	}
	// PATH is the agent's and begins with a folder that the agent can write. confine runs as root, so it does not search PATH.
	program := os.Args[1]
	if !filepath.IsAbs(program) {
		fail(notFound, "cannot run %s: expected an absolute path", program)
	}
	settings, err := os.ReadFile(switchFile)
	if err != nil || !switchedOff(string(settings)) {
		if err := load(); err != nil {
			fail(notRun, "cannot confine %s: %v", program, err)
		}
	}
	err = syscall.Exec(program, os.Args[1:], os.Environ())
	fail(notRun, "cannot run %s: %v", program, err)
}

func switchedOff(settings string) bool {
	return slices.Contains(strings.Split(settings, "\n"), switchOff)
}

func fail(code int, format string, values ...any) {
	fmt.Fprintf(os.Stderr, "confine: "+format+"\n", values...)
	os.Exit(code)
}
