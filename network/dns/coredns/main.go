// CoreDNS with only the plugins that the sandbox needs: 18 MB instead of 77, and a mistake in the Corefile cannot enable
// others.
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
	_ "github.com/coredns/coredns/plugin/template"

	"github.com/coredns/coredns/coremain"
)

func init() {
	// The order in which plugins handle a query, as in CoreDNS's plugin.cfg; refuse and tell are our own.
	dnsserver.Directives = []string{
		"bind", "health", "ready", refusePlugin, tellPlugin, "prometheus", "errors", "acl", "cache", "template", "forward",
	}
}

func main() {
	coremain.Run()
}
