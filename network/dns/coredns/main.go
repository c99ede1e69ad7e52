// CoreDNS with the plugins that the sandbox needs and no others: 18 MB instead of 77, and nothing in it
// that the Corefile could switch on by mistake.
package main

import (
	"github.com/coredns/coredns/core/dnsserver"
	_ "github.com/coredns/coredns/plugin/acl"
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/forward"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/metrics"
	_ "github.com/coredns/coredns/plugin/ready"

	"github.com/coredns/coredns/coremain"
)

func init() {
	// The order in which a query passes the plugins, as in CoreDNS's own plugin.cfg; refuse is ours.
	dnsserver.Directives = []string{
		"bind", "health", "ready", refusePlugin, "prometheus", "errors", "acl", "cache", "forward",
	}
}

func main() {
	coremain.Run()
}
