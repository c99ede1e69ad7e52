// reader LISTEN_FD UPSTREAM_SOCKET: reads what the model is asked to do, between the two halves of the gate.
//
// It accepts HTTP on an inherited unix socket, reads the bodies of requests to the model while they pass, and sends them on through
// another unix socket. It holds no secret: the second half of the gate inserts the credential. After its start a system call filter
// leaves it nothing but unix sockets, memory and threads.
//
// The supervisor writes JSON lines to its stdin (see `order`) and reads JSON lines from its stdout (see `note`). When stdin ends, so
// does the reader, and then no request passes.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"strconv"
	"sync"
)

const (
	memoryBytes = 48 << 20
	garbage     = 50 // percent of the heap
)

// order is a line from the supervisor: the tools that the operator permits, and the budget.
type order struct {
	Tools   []string `json:"tools"`
	Calls   int64    `json:"calls"`   // that may begin in the reader's life, -1 if unlimited
	Refusal string   `json:"refusal"` // why no call may begin

	Placeholders map[string]string `json:"placeholders"` // variables of credentials by their placeholders
}

// note is a line to the supervisor.
type note struct {
	Ready  bool     `json:"ready,omitempty"`  // an order is in force
	Begun  bool     `json:"begun,omitempty"`  // a call of the model has begun
	Used   *usage   `json:"used,omitempty"`   // by a call that has ended
	Answer *outcome `json:"answer,omitempty"` // to a call of the model
	Moved  bool     `json:"moved,omitempty"`  // bytes of answers have arrived
	Ended  *end     `json:"ended,omitempty"`  // the end of a successful answer
}

func main() {
	if len(os.Args) != 3 {
		fail("usage: reader LISTEN_FD UPSTREAM_SOCKET")
	}
	number, err := strconv.Atoi(os.Args[1])
	if err != nil {
		fail("cannot listen: %v", err)
	}
	listener, err := net.FileListener(os.NewFile(uintptr(number), "listener"))
	if err != nil {
		fail("cannot listen: %v", err)
	}
	debug.SetGCPercent(garbage)
	debug.SetMemoryLimit(memoryBytes)
	if err := confine(); err != nil {
		fail("cannot confine the reader: %v", err)
	}
	serve(listener, os.Args[2], os.Stdin, os.Stdout)
}

// serve obeys the supervisor and serves until its orders end.
func serve(listener net.Listener, upstream string, orders io.Reader, out io.Writer) {
	notes := &notes{out: out}
	b := &budget{onBegin: func() { notes.write(note{Begun: true}) }}
	dialer := net.Dialer{}
	h := newHop(
		func(ctx context.Context) (net.Conn, error) { return dialer.DialContext(ctx, "unix", upstream) },
		b, func(used usage) { notes.write(note{Used: &used}) }, notes.write,
	)
	server := &http.Server{Handler: h, ErrorLog: log.New(io.Discard, "", 0), MaxHeaderBytes: 1 << 18}
	lines := bufio.NewScanner(orders)
	ready := false
	for lines.Scan() {
		var next order
		if err := json.Unmarshal(lines.Bytes(), &next); err != nil {
			fail("cannot read an order: %v", err)
		}
		h.permit(next.Tools, next.Placeholders)
		b.set(next.Calls, next.Refusal)
		if !ready {
			ready = true
			go func() { fail("cannot serve: %v", server.Serve(listener)) }()
		}
		notes.write(note{Ready: true})
	}
}

// notes writes lines to the supervisor. If it does not read them, calls wait: nothing passes uncounted.
type notes struct {
	lock sync.Mutex
	out  io.Writer
}

func (n *notes) write(line note) {
	n.lock.Lock()
	defer n.lock.Unlock()
	text, _ := json.Marshal(line)
	if _, err := n.out.Write(append(text, '\n')); err != nil {
		fail("cannot report: %v", err)
	}
}

func fail(format string, values ...any) {
	fmt.Fprintf(os.Stderr, "reader: "+format+"\n", values...)
	os.Exit(1)
}
