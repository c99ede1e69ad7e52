package main

import (
	"encoding/binary"
	"testing"

	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

const allowed = uint32(unix.SECCOMP_RET_ALLOW)

type call struct {
	what      string
	name      string
	arguments [3]uint64
	verdict   uint32
}

var calls = []call{
	{"ordinary work", "read", [3]uint64{}, allowed},
	{"a thread", "clone", [3]uint64{unix.CLONE_VM | unix.CLONE_FS | unix.CLONE_THREAD | unix.CLONE_SIGHAND}, allowed},
	{"a user namespace", "clone", [3]uint64{unix.CLONE_NEWUSER | 17}, refused},
	{"a user namespace, with bits the kernel ignores", "clone", [3]uint64{1<<40 | unix.CLONE_NEWUSER}, refused},
	{"flags that no filter can see", "clone3", [3]uint64{}, unknown},
	{"files of its own", "unshare", [3]uint64{unix.CLONE_FILES}, allowed},
	{"a network of its own", "unshare", [3]uint64{unix.CLONE_NEWNET}, refused},
	{"a time namespace", "unshare", [3]uint64{unix.CLONE_NEWTIME}, refused},
	{"another process's namespace", "setns", [3]uint64{}, refused},
	{"a mount", "mount", [3]uint64{}, refused},
	{"a mount, the new way", "fsopen", [3]uint64{}, refused},
	{"a module", "finit_module", [3]uint64{}, refused},
	{"a key", "keyctl", [3]uint64{}, refused},
	{"bpf", "bpf", [3]uint64{}, refused},
	{"perf", "perf_event_open", [3]uint64{}, refused},
	{"io_uring", "io_uring_setup", [3]uint64{}, unknown},
	{"the size of a terminal", "ioctl", [3]uint64{0, 0x5413}, allowed},
	{"typing into a terminal", "ioctl", [3]uint64{0, tiocsti}, refused},
	{"typing into a terminal, with bits the kernel ignores", "ioctl", [3]uint64{0, 1<<32 | tiocsti}, refused},
	{"pasting into a console", "ioctl", [3]uint64{0, tioclinux}, refused},
	{"an ioctl as musl passes it, sign-extended", "ioctl", [3]uint64{0, 0xffffffff80045430}, allowed},
	{"TCP", "socket", [3]uint64{unix.AF_INET, unix.SOCK_STREAM, 0}, allowed},
	{"local sockets", "socket", [3]uint64{unix.AF_UNIX, unix.SOCK_STREAM, 0}, allowed},
	{"vsock", "socket", [3]uint64{unix.AF_VSOCK, unix.SOCK_STREAM, 0}, noFamily},
	{"vsock, with bits the kernel ignores", "socket", [3]uint64{7<<32 | unix.AF_VSOCK, 0, 0}, noFamily},
	{"a pair of local sockets", "socketpair", [3]uint64{unix.AF_UNIX, unix.SOCK_STREAM, 0}, allowed},
	{"a pair of other sockets, created before it is refused", "socketpair", [3]uint64{unix.AF_VSOCK, unix.SOCK_STREAM, 0}, noFamily},
	{"a pair of TIPC sockets, with bits the kernel ignores", "socketpair", [3]uint64{1<<32 | unix.AF_TIPC, unix.SOCK_SEQPACKET, 0}, noFamily},
	{"UDP", "socket", [3]uint64{unix.AF_INET6, unix.SOCK_DGRAM, unix.IPPROTO_UDP}, allowed},
	{"ping", "socket", [3]uint64{unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_ICMP}, allowed},
	{"SCTP", "socket", [3]uint64{unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_SCTP}, noProtocol},
	{"MPTCP, with bits the kernel ignores", "socket", [3]uint64{unix.AF_INET6, unix.SOCK_STREAM, 1<<32 | unix.IPPROTO_MPTCP}, noProtocol},
	{"another driver for a terminal", "ioctl", [3]uint64{0, tiocsetd}, refused},
	{"memory that root cannot read", "memfd_secret", [3]uint64{}, unknown},
	{"another node's memory", "move_pages", [3]uint64{}, refused},
	{"packets", "socket", [3]uint64{unix.AF_PACKET, unix.SOCK_RAW, 0}, noFamily},
	{"the kernel's ciphers", "socket", [3]uint64{unix.AF_ALG, 0, 0}, noFamily},
	{"routes", "socket", [3]uint64{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE}, allowed},
	{"the list of sockets", "socket", [3]uint64{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_SOCK_DIAG}, allowed},
	{"the firewall", "socket", [3]uint64{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_NETFILTER}, noFamily},
	{"the firewall, with bits the kernel ignores", "socket", [3]uint64{unix.AF_NETLINK, 0, 1<<33 | unix.NETLINK_NETFILTER}, noFamily},
}

// data returns a struct seccomp_data in the byte order that bpf.VM reads: each word big-endian, the low word of an argument first.
func data(machine uint32, number uint32, arguments [3]uint64) []byte {
	bytes := make([]byte, 64)
	binary.BigEndian.PutUint32(bytes[numberAt:], number)
	binary.BigEndian.PutUint32(bytes[archAt:], machine)
	for i, value := range arguments {
		binary.BigEndian.PutUint32(bytes[argumentAt+8*i:], uint32(value))
		binary.BigEndian.PutUint32(bytes[argumentAt+8*i+4:], uint32(value>>32))
	}
	return bytes
}

func verdict(t *testing.T, bytes []byte) uint32 {
	t.Helper()
	instructions, err := program()
	if err != nil {
		t.Fatal(err)
	}
	vm, err := bpf.NewVM(instructions)
	if err != nil {
		t.Fatal(err)
	}
	result, err := vm.Run(bytes)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(result)
}

func here(t *testing.T) *arch.Info {
	t.Helper()
	machine, err := arch.GetInfo("")
	if err != nil {
		t.Fatal(err)
	}
	return machine
}

func TestCalls(t *testing.T) {
	machine := here(t)
	for _, c := range calls {
		t.Run(c.what, func(t *testing.T) {
			number, ok := machine.SyscallNames[c.name]
			if !ok {
				t.Fatalf("%s is not a system call", c.name)
			}
			if got := verdict(t, data(uint32(machine.ID), uint32(number), c.arguments)); got != c.verdict {
				t.Errorf("got %#x, want %#x", got, c.verdict)
			}
		})
	}
}

func TestOtherArchitecturesAreKilled(t *testing.T) {
	for _, other := range []*arch.Info{arch.I386, arch.ARM} {
		if got := verdict(t, data(uint32(other.ID), 3, [3]uint64{})); got != killed {
			t.Errorf("a call of %s: got %#x", other.Name, got)
		}
	}
}

func TestUnknownCallsDoNotExist(t *testing.T) {
	for _, number := range []uint32{0x40000000 | 165, 0x40000000, 5000, 0xffffffff} { // x32's mount among them
		if got := verdict(t, data(uint32(here(t).ID), number, [3]uint64{})); got != unknown {
			t.Errorf("call %#x: got %#x", number, got)
		}
	}
}

// A misspelt name would be skipped without an error.
func TestNamesAreNames(t *testing.T) {
	for _, name := range append(append([]string{}, denied...), absent...) {
		_, amd64 := arch.X86_64.SyscallNames[name]
		_, i386 := arch.I386.SyscallNames[name]
		if !amd64 && !i386 {
			t.Errorf("%s is not a system call", name)
		}
	}
}
