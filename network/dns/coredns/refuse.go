package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/plugin"
	"github.com/coredns/coredns/request"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"golang.org/x/time/rate"
)

// The delay of an answer, and the number of delayed answers per second. While the program that asked waits, its socket is open
// and the supervisor can identify it. Queries beyond the rate are answered at once, and their program stays unknown.
const (
	holdFor      = 50 * time.Millisecond
	heldASecond  = 5
	heldAtOnce   = 10
	notHeld      = 0
	refusePlugin = "refuse"
)

// held is shared by the configurations before and after a reload.
var held = rate.NewLimiter(heldASecond, heldAtOnce)

// refused counts here, because the prometheus plugin comes later and does not see refused names. That keeps delayed answers out
// of its latencies.
var refused = promauto.NewCounter(prometheus.CounterOpts{
	Namespace: plugin.Namespace, Subsystem: refusePlugin, Name: "names_total", Help: "Counter of names that were refused.",
})

// refuse answers NXDOMAIN for every name that is not listed, and first logs a line on standard output:
//
//	refused TYPE NAME PORT
//
// PORT is the client's UDP port if its answer is delayed, otherwise 0. In the Corefile: `refuse FILE`. The file has the listed
// names, one per line in lower case: `name` lists exactly this name, `*.name` all names below it. A reload reads it again.
type refuse struct {
	next   plugin.Handler
	listed names
	out    io.Writer
	held   *rate.Limiter
}

// names are listed names, with their trailing dots.
type names struct{ exact, below map[string]bool }

func (n names) has(name string) bool {
	if n.exact[name] {
		return true
	}
	for at, end := dns.NextLabel(name, 0); !end; at, end = dns.NextLabel(name, at) {
		if n.below[name[at:]] {
			return true
		}
	}
	return false
}

func read(file io.Reader) (names, error) {
	listed := names{map[string]bool{}, map[string]bool{}}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		name, isBelow := strings.CutPrefix(lines.Text(), "*.")
		if _, ok := dns.IsDomainName(name); !ok || name == "" || name != strings.ToLower(name) {
			return names{}, fmt.Errorf("not a name: %q", lines.Text())
		}
		if isBelow {
			listed.below[dns.Fqdn(name)] = true
		} else {
			listed.exact[dns.Fqdn(name)] = true
		}
	}
	return listed, lines.Err()
}

func (r refuse) Name() string { return refusePlugin }

func (r refuse) ServeDNS(ctx context.Context, w dns.ResponseWriter, query *dns.Msg) (int, error) {
	state := request.Request{W: w, Req: query}
	if r.listed.has(state.Name()) {
		return plugin.NextOrFailure(r.Name(), r.next, ctx, w, query)
	}
	refused.Inc()
	port := notHeld
	if client, ok := w.RemoteAddr().(*net.UDPAddr); ok && r.held.Allow() {
		port = client.Port
	}
	// miekg/dns writes a space in a name as `\ `, which would split the line's fields: make it `\032`.
	name := strings.ReplaceAll(state.Name(), " ", "032")
	fmt.Fprintf(r.out, "refused %s %s %d\n", state.Type(), name, port)
	if port != notHeld {
		time.Sleep(holdFor)
	}
	answer := new(dns.Msg)
	answer.SetRcode(query, dns.RcodeNameError)
	answer.Authoritative = true
	if err := w.WriteMsg(answer); err != nil {
		return dns.RcodeServerFailure, err
	}
	return dns.RcodeNameError, nil
}

func init() { plugin.Register(refusePlugin, setup) }

func setup(controller *caddy.Controller) error {
	for controller.Next() {
		arguments := controller.RemainingArgs()
		if len(arguments) != 1 {
			return plugin.Error(refusePlugin, controller.ArgErr())
		}
		file, err := os.Open(arguments[0])
		if err != nil {
			return plugin.Error(refusePlugin, err)
		}
		listed, err := read(file)
		file.Close()
		if err != nil {
			return plugin.Error(refusePlugin, err)
		}
		dnsserver.GetConfig(controller).AddPlugin(func(next plugin.Handler) plugin.Handler {
			return refuse{next, listed, os.Stdout, held}
		})
	}
	return nil
}
