// userns UIDMAP GIDMAP: creates a user namespace for `codetainer up` without root, with the user's subordinate ids.
//
// A map is the arguments of newuidmap(1) after the pid, in one argument. userns writes the pid of a process in the new namespace to
// its stdout. That process, and with it the namespace if nobody has joined it, ends when stdin is closed.
//
// This is a program of its own, because AppArmor can restrict user namespaces to programs with a profile, and a profile names a
// path: one for Python's path would permit them to all Python programs.
package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
)

const hold = "hold" // argument of the process in the namespace

// A parent-death signal is sent when the thread that started the child ends (prctl(2)), so main stays on the main thread.
func init() {
	runtime.LockOSThread()
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == hold {
		_, _ = io.Copy(io.Discard, os.Stdin)
		return
	}
	if len(os.Args) != 3 {
		fail("usage: userns UIDMAP GIDMAP")
	}
	holder := exec.Command("/proc/self/exe", hold)
	holder.Stdin = os.Stdin
	holder.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, Pdeathsig: syscall.SIGKILL}
	if err := holder.Start(); err != nil {
		fail("cannot create a user namespace: %v", err)
	}
	for at, program := range []string{"newuidmap", "newgidmap"} {
		arguments := append([]string{fmt.Sprint(holder.Process.Pid)}, strings.Fields(os.Args[at+1])...)
		if output, err := exec.Command(program, arguments...).CombinedOutput(); err != nil {
			_ = holder.Process.Kill()
			fail("cannot map ids: %v: %s", err, strings.TrimSpace(string(output)))
		}
	}
	fmt.Println(holder.Process.Pid)
	_ = holder.Wait()
}

func fail(format string, values ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", values...)
	os.Exit(1)
}
