package main

// The system call filter that the reader installs for itself after its start: nothing but unix sockets, memory and threads. All other
// calls fail with EPERM. Sources: seccomp(2), include/uapi/linux/seccomp.h, filter.h.

import (
	"fmt"
	"syscall"
	"unsafe"
)

const (
	setModeFilter = 1
	allThreads    = 1          // SECCOMP_FILTER_FLAG_TSYNC
	allowed       = 0x7fff0000 // SECCOMP_RET_ALLOW
	refused       = 0x00050000 | uint32(syscall.EPERM)
	killed        = 0x80000000
	setNoNewPrivs = 38 // PR_SET_NO_NEW_PRIVS
	loadWord      = syscall.BPF_LD | syscall.BPF_W | syscall.BPF_ABS
	jumpIfEqual   = syscall.BPF_JMP | syscall.BPF_JEQ | syscall.BPF_K
	give          = syscall.BPF_RET | syscall.BPF_K
	numberAt      = 0 // in struct seccomp_data
	archAt        = 4
	firstArgument = 16
)

// calls that the reader and Go's runtime need, on every architecture.
var calls = []uint32{
	syscall.SYS_READ, syscall.SYS_WRITE, syscall.SYS_WRITEV, syscall.SYS_CLOSE, syscall.SYS_FCNTL, syscall.SYS_PREAD64,
	syscall.SYS_ACCEPT4, syscall.SYS_CONNECT, syscall.SYS_SHUTDOWN, syscall.SYS_GETSOCKNAME, syscall.SYS_GETPEERNAME,
	syscall.SYS_GETSOCKOPT, syscall.SYS_SETSOCKOPT, syscall.SYS_SENDTO, syscall.SYS_RECVFROM,
	syscall.SYS_EPOLL_CREATE1, syscall.SYS_EPOLL_CTL, syscall.SYS_EPOLL_PWAIT, syscall.SYS_EVENTFD2, syscall.SYS_PIPE2,
	syscall.SYS_MMAP, syscall.SYS_MUNMAP, syscall.SYS_MADVISE, syscall.SYS_MPROTECT, syscall.SYS_MINCORE, syscall.SYS_BRK,
	syscall.SYS_CLONE, syscall.SYS_EXIT, syscall.SYS_EXIT_GROUP, syscall.SYS_FUTEX, syscall.SYS_SET_ROBUST_LIST,
	syscall.SYS_SCHED_YIELD, syscall.SYS_SCHED_GETAFFINITY, syscall.SYS_NANOSLEEP, syscall.SYS_CLOCK_GETTIME,
	syscall.SYS_CLOCK_NANOSLEEP, syscall.SYS_GETTIMEOFDAY, syscall.SYS_RESTART_SYSCALL,
	syscall.SYS_RT_SIGACTION, syscall.SYS_RT_SIGPROCMASK, syscall.SYS_RT_SIGRETURN, syscall.SYS_SIGALTSTACK,
	syscall.SYS_TGKILL, syscall.SYS_GETPID, syscall.SYS_GETTID, syscall.SYS_PRCTL,
	syscall.SYS_TIMER_CREATE, syscall.SYS_TIMER_SETTIME, syscall.SYS_TIMER_DELETE, syscall.SYS_SETITIMER,
}

func program() []syscall.SockFilter {
	statement := func(code uint16, value uint32) syscall.SockFilter { return syscall.SockFilter{Code: code, K: value} }
	unless := func(value uint32, skip uint8) syscall.SockFilter {
		return syscall.SockFilter{Code: jumpIfEqual, Jf: skip, K: value}
	}
	filter := []syscall.SockFilter{
		statement(loadWord, archAt), {Code: jumpIfEqual, Jt: 1, K: architecture}, statement(give, killed),
		statement(loadWord, numberAt),
		// socket(2): only unix sockets
		unless(syscall.SYS_SOCKET, 4), statement(loadWord, firstArgument), unless(syscall.AF_UNIX, 1), statement(give, allowed),
		statement(give, refused),
	}
	for _, call := range append(calls, own...) {
		filter = append(filter, unless(call, 1), statement(give, allowed))
	}
	return append(filter, statement(give, refused))
}

// confine installs the filter on all threads of this process.
func confine() error {
	filter := program()
	if _, _, errno := syscall.RawSyscall6(syscall.SYS_PRCTL, setNoNewPrivs, 1, 0, 0, 0, 0); errno != 0 {
		return fmt.Errorf("the kernel refuses no-new-privs: %w", errno)
	}
	loaded := syscall.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	result, _, errno := syscall.RawSyscall(seccomp, setModeFilter, allThreads, uintptr(unsafe.Pointer(&loaded)))
	if errno != 0 || result != 0 {
		return fmt.Errorf("the kernel refuses the filter: %w (%d)", errno, result)
	}
	return nil
}
