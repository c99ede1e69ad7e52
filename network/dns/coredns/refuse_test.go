package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/coredns/coredns/plugin/test"

	"github.com/miekg/dns"
	"golang.org/x/time/rate"
)

// ask sends a query through the plugin; returns the rcode (-1 if the query was passed on) and the output.
func ask(t *testing.T, plugin refuse, name string, writer dns.ResponseWriter) (int, string) {
	t.Helper()
	var printed bytes.Buffer
	passed := false
	plugin.out = &printed
	plugin.next = test.HandlerFunc(func(context.Context, dns.ResponseWriter, *dns.Msg) (int, error) {
		passed = true
		return dns.RcodeSuccess, nil
	})
	code, err := plugin.ServeDNS(context.Background(), writer, new(dns.Msg).SetQuestion(name, dns.TypeA))
	if err != nil {
		t.Fatal(err)
	}
	if passed {
		code = -1
	}
	return code, printed.String()
}

func limiter(burst int) *rate.Limiter { return rate.NewLimiter(rate.Every(time.Hour), burst) }

func TestRefusedNameIsLoggedWithTheWaitingPort(t *testing.T) {
	began := time.Now()
	code, printed := ask(t, refuse{held: limiter(1)}, "Evil.Example.", &test.ResponseWriter{})
	if waited := time.Since(began); waited < holdFor {
		t.Fatal("answered after", waited)
	}
	if code != dns.RcodeNameError || printed != "refused A evil.example. 40212\n" {
		t.Fatal(code, printed)
	}
}

func TestQueriesBeyondTheRateOrOverTCPAreNotHeld(t *testing.T) {
	for name, writer := range map[string]dns.ResponseWriter{"fast": &test.ResponseWriter{}, "tcp": &test.ResponseWriter{TCP: true}} {
		burst := 0
		if name == "tcp" {
			burst = 1
		}
		if code, printed := ask(t, refuse{held: limiter(burst)}, "a.example.", writer); code != dns.RcodeNameError ||
			printed != "refused A a.example. 0\n" {
			t.Fatal(name, code, printed)
		}
	}
}

func TestOnlyListedNamesPass(t *testing.T) {
	listed, err := read(strings.NewReader("example.com\n*.wild.example\napi.wild.example\n*.deep.wild.example\n"))
	if err != nil {
		t.Fatal(err)
	}
	plugin := refuse{held: limiter(0), listed: listed}
	for name, code := range map[string]int{
		"example.com.":               -1,
		"EXAMPLE.com.":               -1,
		"a.example.com.":             dns.RcodeNameError,
		"com.":                       dns.RcodeNameError,
		"notexample.com.":            dns.RcodeNameError,
		"a.wild.example.":            -1,
		"b.a.wild.example.":          -1,
		"api.wild.example.":          -1,
		"deep.wild.example.":         -1,
		"wild.example.":              dns.RcodeNameError,
		"xwild.example.":             dns.RcodeNameError,
		`a\.wild.example.`:           dns.RcodeNameError,
		`b\.a.wild.example.`:         -1,
		"wild.example.evil.example.": dns.RcodeNameError,
		".":                          dns.RcodeNameError,
	} {
		if got, printed := ask(t, plugin, name, &test.ResponseWriter{}); got != code || (printed == "") != (code == -1) {
			t.Error(name, got, printed)
		}
	}
}

func TestWithoutNamesEverythingIsRefused(t *testing.T) {
	listed, err := read(strings.NewReader(""))
	if err != nil {
		t.Fatal(err)
	}
	if code, _ := ask(t, refuse{held: limiter(0), listed: listed}, "a.example.", &test.ResponseWriter{}); code != dns.RcodeNameError {
		t.Fatal(code)
	}
}

func TestAnInvalidFileIsAnError(t *testing.T) {
	for _, text := range []string{"*.\n", "\n", "a..example\n", "A.example\n", strings.Repeat("a", 70000) + "\n"} {
		if _, err := read(strings.NewReader(text)); err == nil {
			t.Errorf("%.20q", text)
		}
	}
}

func TestALineHasFourFieldsForAnyName(t *testing.T) {
	if _, printed := ask(t, refuse{held: limiter(0)}, `with\ space\010.example.`, &test.ResponseWriter{}); printed !=
		`refused A with\032space\010.example. 0`+"\n" {
		t.Fatal(printed)
	}
}
