package main

import (
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
	"golang.org/x/time/rate"
)

// Queries per second that tell logs and delays. The gate's own queries count, too: it asks again for each connection.
const (
	tellPlugin  = "tell"
	toldASecond = 10
	toldAtOnce  = 40
)

var told = rate.NewLimiter(toldASecond, toldAtOnce)

// tell passes every query on, and first logs a line on standard output for some queries over UDP for an IPv4 address:
//
//	asked A NAME PORT
//
// These queries are delayed as those that `refuse` refuses, so that the supervisor can identify the program that asked. Queries
// beyond the rate pass at once, without a line. In the Corefile: `tell`, for learning runs.
type tell struct {
	next plugin.Handler
	out  io.Writer
	held *rate.Limiter
}

func (t tell) Name() string { return tellPlugin }

func (t tell) ServeDNS(ctx context.Context, w dns.ResponseWriter, query *dns.Msg) (int, error) {
	state := request.Request{W: w, Req: query}
	client, ok := w.RemoteAddr().(*net.UDPAddr)
	if ok && state.QType() == dns.TypeA && t.held.Allow() {
		fmt.Fprintf(t.out, "asked A %s %d\n", strings.ReplaceAll(state.Name(), " ", "032"), client.Port)
		time.Sleep(holdFor)
	}
	return plugin.NextOrFailure(t.Name(), t.next, ctx, w, query)
}

func init() { plugin.Register(tellPlugin, setupTell) }

func setupTell(controller *caddy.Controller) error {
	for controller.Next() {
		if controller.NextArg() {
			return plugin.Error(tellPlugin, controller.ArgErr())
		}
		dnsserver.GetConfig(controller).AddPlugin(func(next plugin.Handler) plugin.Handler {
			return tell{next, os.Stdout, told}
		})
	}
	return nil
}
