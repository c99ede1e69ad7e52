package main

// The system call filter. It refuses calls that an agent never needs for its work, but that attacks on the kernel use.
//
// The library compiles the long list of names into instructions. Three checks that it does not offer come first:
//   - A call of another architecture (int 0x80, x32) would bypass the library's tables. The process is killed.
//   - A call newer than the tables has not been reviewed. It fails with ENOSYS, which programs expect from older kernels.
//   - The kernel reads some arguments as 32 bits and ignores the upper half, so they are compared as 32 bits.
//
// Sources: seccomp(2), include/uapi/linux/seccomp.h, the numbers in include/uapi/linux/{sched,socket,netlink}.h and asm-generic/ioctls.h.

import (
	"fmt"
	"unsafe"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Offsets in struct seccomp_data (little-endian machines: the low word of an argument comes first).
const (
	numberAt   = 0
	archAt     = 4
	argumentAt = 16
)

const (
	killed     = uint32(unix.SECCOMP_RET_KILL_PROCESS)
	refused    = uint32(unix.SECCOMP_RET_ERRNO) | uint32(unix.EPERM)
	unknown    = uint32(unix.SECCOMP_RET_ERRNO) | uint32(unix.ENOSYS)
	noFamily   = uint32(unix.SECCOMP_RET_ERRNO) | uint32(unix.EAFNOSUPPORT)
	noProtocol = uint32(unix.SECCOMP_RET_ERRNO) | uint32(unix.EPROTONOSUPPORT)
)

const (
	tiocsti   = 0x5412 // types into a terminal
	tioclinux = 0x541c // pastes into a console
	tiocsetd  = 0x5423 // sets a terminal's line discipline (modem, radio), and the kernel loads the module for it
)

const newNamespaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWUSER |
	unix.CLONE_NEWPID | unix.CLONE_NEWNET

// Refused with EPERM, whatever their arguments.
var denied = []string{
	// the kernel itself
	"init_module", "finit_module", "delete_module", "create_module", "kexec_load", "kexec_file_load", "reboot", "syslog",
	"bpf", "perf_event_open", "userfaultfd", "lookup_dcookie", "kcmp", "acct", "iopl", "ioperm", "modify_ldt",
	"vm86", "vm86old", "uselib", "nfsservctl", "_sysctl", "sysfs", "vserver",
	// mounts and roots
	"mount", "umount", "umount2", "pivot_root", "chroot", "open_tree", "open_tree_attr", "move_mount", "mount_setattr",
	"fsopen", "fsconfig", "fsmount", "fspick", "swapon", "swapoff", "quotactl", "quotactl_fd", "open_by_handle_at",
	"fanotify_init",
	// keyrings: namespaces do not separate them
	"keyctl", "add_key", "request_key",
	// other namespaces
	"setns",
	// the machine's name and clock
	"sethostname", "setdomainname", "settimeofday", "clock_settime", "clock_adjtime", "stime", "vhangup",
	// memory placement on NUMA nodes; security modules; calls that the kernel no longer has
	"mbind", "move_pages", "migrate_pages", "set_mempolicy", "set_mempolicy_home_node", "lsm_set_self_attr",
	"query_module", "get_kernel_syms", "ustat",
}

// Refused with ENOSYS, as by a kernel without them, so that programs use their fallback. clone3 passes its flags in memory, which
// a filter cannot read; the C library falls back to clone. A filter cannot see the operations of io_uring. Not even root can read
// the memory of memfd_secret.
var absent = []string{"clone3", "io_uring_setup", "io_uring_enter", "io_uring_register", "memfd_secret"}

// The socket families that may be used: local sockets, IPv4 and IPv6, which pass through the firewall, and netlink for reading
// routes and sockets. Other families, such as AF_VSOCK, bypass the firewall.
var families = []uint32{unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK}
var netlinks = []uint32{unix.NETLINK_ROUTE, unix.NETLINK_SOCK_DIAG}

// The IPv4 and IPv6 protocols that may be used. The firewall drops all others (SCTP, DCCP, L2TP, MPTCP, SMC) anyway; refusing
// their sockets keeps the agent away from more kernel code.
var protocols = []uint32{unix.IPPROTO_IP, unix.IPPROTO_ICMP, unix.IPPROTO_TCP, unix.IPPROTO_UDP, unix.IPPROTO_ICMPV6}

// policy returns the rules that the library compiles.
func policy(machine *arch.Info) seccomp.Policy {
	unshared := []seccomp.NameWithConditions{
		{Name: "clone", Conditions: seccomp.ArgumentConditions{{Argument: 0, Operation: seccomp.BitsSet, Value: newNamespaces}}},
		{Name: "unshare", Conditions: seccomp.ArgumentConditions{{Argument: 0, Operation: seccomp.BitsSet, Value: newNamespaces | unix.CLONE_NEWTIME}}},
	}
	return seccomp.Policy{
		DefaultAction: seccomp.ActionAllow,
		Syscalls: []seccomp.SyscallGroup{
			{Names: existing(machine, denied), NamesWithCondtions: unshared, Action: seccomp.Action(refused)},
			{Names: existing(machine, absent), Action: seccomp.Action(unknown)},
		},
	}
}

// existing returns the names that this architecture has. Each architecture lacks some of the old calls.
func existing(machine *arch.Info, names []string) []string {
	var calls []string
	for _, name := range names {
		if _, ok := machine.SyscallNames[name]; ok {
			calls = append(calls, name)
		}
	}
	return calls
}

// program returns the complete filter for the architecture of this build.
func program() ([]bpf.Instruction, error) {
	machine, err := arch.GetInfo("")
	if err != nil {
		return nil, err
	}
	rules := policy(machine)
	listed, err := rules.Assemble()
	if err != nil {
		return nil, err
	}
	youngest := 0
	for number := range machine.SyscallNumbers {
		youngest = max(youngest, number)
	}
	before := []bpf.Instruction{
		bpf.LoadAbsolute{Off: archAt, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(machine.ID), SkipTrue: 1},
		bpf.RetConstant{Val: killed},
		bpf.LoadAbsolute{Off: numberAt, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpLessOrEqual, Val: uint32(youngest), SkipTrue: 1},
		bpf.RetConstant{Val: unknown},
	}
	socket, pair := machine.SyscallNames["socket"], machine.SyscallNames["socketpair"]
	before = append(before, forbid(machine.SyscallNames["ioctl"], 1, refused, tiocsti, tioclinux, tiocsetd)...)
	before = append(before, permit(socket, 0, noFamily, families...)...)
	before = append(before, permit(pair, 0, noFamily, unix.AF_UNIX)...) // the kernel creates both sockets before it refuses to pair them
	before = append(before, within(socket, unix.AF_NETLINK, noFamily, netlinks)...)
	before = append(before, within(socket, unix.AF_INET, noProtocol, protocols)...)
	before = append(before, within(socket, unix.AF_INET6, noProtocol, protocols)...)
	return append(before, listed...), nil
}

// forbid returns instructions that end with a verdict if the low word of an argument is one of the values. Afterwards the call's
// number is loaded again.
func forbid(call int, argument uint32, verdict uint32, values ...uint32) []bpf.Instruction {
	body := []bpf.Instruction{bpf.LoadAbsolute{Off: argumentAt + 8*argument, Size: 4}}
	for left := len(values); left > 0; left-- {
		value := values[len(values)-left]
		if left > 1 {
			body = append(body, bpf.JumpIf{Cond: bpf.JumpEqual, Val: value, SkipTrue: uint8(left - 1)})
		} else {
			body = append(body, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: value, SkipTrue: 1})
		}
	}
	return ofCall(call, append(body, bpf.RetConstant{Val: verdict}))
}

// permit returns instructions that end with a verdict unless the low word of an argument is one of the values. Afterwards the
// call's number is loaded again.
func permit(call int, argument uint32, verdict uint32, values ...uint32) []bpf.Instruction {
	body := []bpf.Instruction{bpf.LoadAbsolute{Off: argumentAt + 8*argument, Size: 4}}
	for i, value := range values {
		body = append(body, bpf.JumpIf{Cond: bpf.JumpEqual, Val: value, SkipTrue: uint8(len(values) - i)})
	}
	return ofCall(call, append(body, bpf.RetConstant{Val: verdict}))
}

// within returns instructions that end with a verdict for sockets of one family, unless their protocol is one of the values.
func within(call int, family uint32, verdict uint32, values []uint32) []bpf.Instruction {
	inner := []bpf.Instruction{bpf.LoadAbsolute{Off: argumentAt + 8*2, Size: 4}}
	for i, value := range values {
		inner = append(inner, bpf.JumpIf{Cond: bpf.JumpEqual, Val: value, SkipTrue: uint8(len(values) - i)})
	}
	inner = append(inner, bpf.RetConstant{Val: verdict})
	body := []bpf.Instruction{
		bpf.LoadAbsolute{Off: argumentAt, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: family, SkipTrue: uint8(len(inner))},
	}
	return ofCall(call, append(body, inner...))
}

// ofCall returns instructions that run a body for one call only, then load the call's number again.
func ofCall(call int, body []bpf.Instruction) []bpf.Instruction {
	body = append(body, bpf.LoadAbsolute{Off: numberAt, Size: 4})
	return append([]bpf.Instruction{bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(call), SkipTrue: uint8(len(body))}}, body...)
}

// load installs the filter on this thread and sets no-new-privs, so that a setuid program cannot gain rights under the filter.
func load() error {
	instructions, err := program()
	if err != nil {
		return fmt.Errorf("cannot assemble the filter: %w", err)
	}
	raw, err := bpf.Assemble(instructions)
	if err != nil {
		return fmt.Errorf("cannot assemble the filter: %w", err)
	}
	filter := make([]unix.SockFilter, len(raw))
	for i, instruction := range raw {
		filter[i] = unix.SockFilter{Code: instruction.Op, Jt: instruction.Jt, Jf: instruction.Jf, K: instruction.K}
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("the kernel refuses no-new-privs: %w", err)
	}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return fmt.Errorf("the kernel refuses the filter: %w", errno)
	}
	return nil
}
