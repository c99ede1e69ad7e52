// confine /PATH/TO/PROGRAM [ARGUMENT ...]: runs a program under the agent's system call filter, which nothing it starts can take off again.
//
// Root runs it, and setpriv under it, for every process of the agent's. The other way round there would be a moment in which a
// process is the agent's and has no filter yet: others of the agent's could attach to it (ptrace(2)) and make any call through it.
//
// The operator's switch (CODETAINER_SECCOMP) is a line in a file of root's that boot writes before the agent is there
// (backend/contract/front_end.py). If it cannot be read, the filter is on.
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
	notRun     = 126 // as a shell has it: found, and not run
	notFound   = 127
)

// The main thread is the one that takes the filter on and becomes the program: what was asked for its parent's end
// (prctl(2), PR_SET_PDEATHSIG) belongs to that thread alone.
func init() {
	runtime.LockOSThread()
}

func main() {
	if len(os.Args) < 2 {
		fail(2, "usage: confine /PATH/TO/PROGRAM [ARGUMENT ...]")
	}
	// The environment is that of the process to come, and the agent's PATH begins with a folder of its own: root looks for nothing there.
	program := os.Args[1]
	if !filepath.IsAbs(program) {
		fail(notFound, "cannot run %s: its whole path is expected", program)
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
