package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
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

// held is shared by all server blocks.
var held = rate.NewLimiter(heldASecond, heldAtOnce)

// refused counts here, because the prometheus plugin comes later and does not see refused names. That keeps delayed answers out
// of its latencies.
var refused = promauto.NewCounter(prometheus.CounterOpts{
	Namespace: plugin.Namespace, Subsystem: refusePlugin, Name: "names_total", Help: "Counter of names that were refused.",
})

// refuse answers NXDOMAIN for the names that match, and first logs a line on standard output:
//
//	refused TYPE NAME PORT
//
// PORT is the client's UDP port if its answer is delayed, otherwise 0. In the Corefile: `refuse [REGEXP]`, which is matched
// against the whole name in lower case with its trailing dot. Without REGEXP, every name of the block is refused.
type refuse struct {
	next  plugin.Handler
	match *regexp.Regexp
	out   io.Writer
	held  *rate.Limiter
}

func (r refuse) Name() string { return refusePlugin }

func (r refuse) ServeDNS(ctx context.Context, w dns.ResponseWriter, query *dns.Msg) (int, error) {
	state := request.Request{W: w, Req: query}
	if r.match != nil && !r.match.MatchString(state.Name()) {
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
		var match *regexp.Regexp
		switch arguments := controller.RemainingArgs(); len(arguments) {
		case 0:
		case 1:
			var err error
			if match, err = regexp.Compile(arguments[0]); err != nil {
				return plugin.Error(refusePlugin, err)
			}
		default:
			return plugin.Error(refusePlugin, controller.ArgErr())
		}
		dnsserver.GetConfig(controller).AddPlugin(func(next plugin.Handler) plugin.Handler {
			return refuse{next, match, os.Stdout, held}
		})
	}
	return nil
}
