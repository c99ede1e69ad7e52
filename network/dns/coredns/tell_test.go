package main

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/coredns/coredns/plugin/test"

	"github.com/miekg/dns"
)

// pass sends a query through the plugin; returns its output. Fails unless the query was passed on.
func pass(t *testing.T, burst int, name string, kind uint16, writer dns.ResponseWriter) string {
	t.Helper()
	var printed bytes.Buffer
	passed := false
	next := test.HandlerFunc(func(context.Context, dns.ResponseWriter, *dns.Msg) (int, error) {
		passed = true
		return dns.RcodeSuccess, nil
	})
	plugin := tell{next: next, out: &printed, held: limiter(burst)}
	if _, err := plugin.ServeDNS(context.Background(), writer, new(dns.Msg).SetQuestion(name, kind)); err != nil || !passed {
		t.Fatal(err, passed)
	}
	return printed.String()
}

func TestAQueryIsLoggedWithTheWaitingPortAndPassedOn(t *testing.T) {
	began := time.Now()
	if printed := pass(t, 1, "New.Example.", dns.TypeA, &test.ResponseWriter{}); printed != "asked A new.example. 40212\n" {
		t.Fatal(printed)
	}
	if waited := time.Since(began); waited < holdFor {
		t.Fatal("passed on after", waited)
	}
}

func TestOtherQueriesPassWithoutALine(t *testing.T) {
	for name, printed := range map[string]string{
		"beyond the rate": pass(t, 0, "a.example.", dns.TypeA, &test.ResponseWriter{}),
		"over TCP":        pass(t, 1, "a.example.", dns.TypeA, &test.ResponseWriter{TCP: true}),
		"another type":    pass(t, 1, "a.example.", dns.TypeAAAA, &test.ResponseWriter{}),
	} {
		if printed != "" {
			t.Fatal(name, printed)
		}
	}
}

func TestAToldLineHasFourFieldsForAnyName(t *testing.T) {
	if printed := pass(t, 1, `with\ space\010.example.`, dns.TypeA, &test.ResponseWriter{}); printed !=
		`asked A with\032space\010.example. 40212`+"\n" {
		t.Fatal(printed)
	}
}
