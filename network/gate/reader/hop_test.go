package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// between is a hop with a client in front of it and a server behind it, which counts the requests that it has read to their end.
type between struct {
	server, hop *httptest.Server
	client      *http.Client
	whole       atomic.Int64
	parts       atomic.Int64
	budget      *budget
	lock        sync.Mutex
	used        []usage
	notes       []note
}

func newBetween(t *testing.T, answer http.HandlerFunc) *between {
	t.Helper()
	b := &between{}
	b.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			b.parts.Add(1)
			return
		}
		b.whole.Add(1)
		answer(w, r)
	}))
	t.Cleanup(b.server.Close)
	b.budget = unlimited()
	h := newHop(dialing(b.server), b.budget, func(u usage) {
		b.lock.Lock()
		defer b.lock.Unlock()
		b.used = append(b.used, u)
	}, func(n note) {
		b.lock.Lock()
		defer b.lock.Unlock()
		b.notes = append(b.notes, n)
	})
	h.permit(nil, map[string]string{"placeholder": "TOKEN", "key-placeholder": "KEY"})
	b.hop = httptest.NewServer(h)
	t.Cleanup(b.hop.Close)
	b.client = b.hop.Client()
	return b
}

func unlimited() *budget { return &budget{calls: -1, onBegin: func() {}} }

func dialing(server *httptest.Server) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, "tcp", server.Listener.Addr().String())
	}
}

// inFrontOf serves a hop in front of a server with this handler. Both end with the test.
func inFrontOf(t *testing.T, limits *budget, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	hop := httptest.NewServer(newHop(dialing(server), limits, func(usage) {}, func(note) {}))
	t.Cleanup(hop.Close)
	return hop
}

func (b *between) usage() usage {
	b.lock.Lock()
	defer b.lock.Unlock()
	var sum usage
	for _, each := range b.used {
		sum.Model, sum.Estimated = each.Model, sum.Estimated || each.Estimated
		sum.Input, sum.Output = sum.Input+each.Input, sum.Output+each.Output
		sum.CacheRead, sum.CacheWrite = sum.CacheRead+each.CacheRead, sum.CacheWrite+each.CacheWrite
	}
	return sum
}

func (b *between) post(t *testing.T, path string, body io.Reader, header ...string) (int, string, http.Header) {
	t.Helper()
	request, err := http.NewRequest(http.MethodPost, b.hop.URL+path, body)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		request.Header[header[i]] = []string{header[i+1]}
	}
	answer, err := b.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text), answer.Header
}

func fine(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"model":"claude-sonnet-5","content":[{"type":"tool_use","input":{"usage":{"input_tokens":99999}}}],`+
		`"usage":{"input_tokens":10,"output_tokens":4,"cache_read_input_tokens":3,"cache_creation_input_tokens":2}}`)
}

// chunked hides the length of a body.
type chunked struct{ io.Reader }

const megabytes = 2 << 20

func long(end string) string {
	return `{"model":"m","messages":[{"role":"user","content":"` + strings.Repeat("long ", megabytes/5) + `"}]` + end
}

func TestARefusedRequestNeverReachesTheServerWhole(t *testing.T) {
	b := newBetween(t, fine)
	for name, body := range map[string]string{
		"early":           `{"mcp_servers":[],` + long("}")[1:],
		"late":            long(`,"tools":[{"type":"web_search_20250305"}]}`),
		"twice":           long(`,"model":"m"}`),
		"after the end":   long("} {}"),
		"cut":             long(""),
		"cut in a string": long("")[:megabytes/2],
		"bad UTF-8":       long(",\"system\":\"\xff\"}"),
	} {
		for range 3 {
			readers := map[string]io.Reader{"length": strings.NewReader(body), "chunked": chunked{strings.NewReader(body)}}
			for kind, reader := range readers {
				code, text, header := b.post(t, "/v1/messages?beta=true", reader)
				if code != status || !strings.Contains(text, "codetainer: ") || header.Get(refusedWith) == "" {
					t.Errorf("%s, %s: %d %.200s", name, kind, code, text)
				}
				var answer struct {
					Message string
					Error   struct{ Message string }
				}
				if json.Unmarshal([]byte(text), &answer) != nil || answer.Message == "" || answer.Message != answer.Error.Message {
					t.Errorf("%s, %s: %.200s", name, kind, text)
				}
			}
		}
	}
	if b.whole.Load() != 0 {
		t.Fatalf("%d whole requests", b.whole.Load())
	}
	both := []io.Reader{strings.NewReader(long("}")), chunked{strings.NewReader(long("}"))}}
	for _, reader := range both {
		if code, text, _ := b.post(t, "/v1/messages", reader); code != http.StatusOK {
			t.Fatalf("%d %s", code, text)
		}
	}
	if b.whole.Load() != 2 {
		t.Fatalf("%d whole requests", b.whole.Load())
	}
}

func TestHeadersAndPathsThatTheReaderCannotReadAreRefused(t *testing.T) {
	b := newBetween(t, fine)
	for name, each := range map[string]struct {
		path   string
		header []string
	}{
		"compressed":      {"/v1/messages", []string{"Content-Encoding", "br"}},
		"twice":           {"/v1/messages", []string{"Content-Encoding", "gzip, gzip"}},
		"no gzip":         {"/v1/messages", []string{"Content-Encoding", "gzip"}},
		"another type":    {"/v1/messages", []string{"Content-Type", "text/plain"}},
		"another charset": {"/v1/messages", []string{"Content-Type", "application/json; charset=utf-16"}},
		"no type":         {"/v1/messages", []string{"Content-Type", ""}},
		"batches":         {"/v1/messages/batches", nil},
		"files":           {"/v1/files", nil},
		"something new":   {"/v1/agents", nil},
	} {
		if code, text, _ := b.post(t, each.path, strings.NewReader(`{"messages":[]}`), each.header...); code != status {
			t.Errorf("%s: %d %s", name, code, text)
		}
	}
	if code, _, _ := b.post(t, "/v1/messages", nil); code != status {
		t.Error("an empty body passed")
	}
	if b.whole.Load() != 0 {
		t.Fatalf("%d whole requests", b.whole.Load())
	}
	for _, path := range []string{"/V1/Messages/", "/v1/messages/count_tokens", "/api/event_logging/batch"} {
		if code, text, _ := b.post(t, path, strings.NewReader(`{"messages":[]}`)); code != http.StatusOK {
			t.Errorf("%s: %d %s", path, code, text)
		}
	}
}

// Claude Code compresses some of its telemetry.
func TestTelemetryPassesUnchangedAndUnread(t *testing.T) {
	var packed bytes.Buffer
	writer := gzip.NewWriter(&packed)
	_, _ = io.WriteString(writer, `{"tools":[{"type":"web_search_20250305"}]}`)
	_ = writer.Close()
	var arrived, encoding string
	limits := &budget{refusal: "used up", onBegin: func() { t.Error("telemetry was counted as a call") }}
	hop := inFrontOf(t, limits, func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		arrived, encoding = string(body), r.Header.Get("Content-Encoding")
	})
	for name, each := range map[string]struct{ method, encoding, body string }{
		"compressed":      {http.MethodPost, "gzip", packed.String()},
		"plain":           {http.MethodPost, "", `{"tools":[{"type":"web_search_20250305"}]}`},
		"no JSON":         {http.MethodPost, "", "hello"},
		"GET with a body": {http.MethodGet, "gzip", packed.String()},
	} {
		for kind, reader := range map[string]io.Reader{
			"length": strings.NewReader(each.body), "chunked": chunked{strings.NewReader(each.body)},
		} {
			request, _ := http.NewRequest(each.method, hop.URL+"/api/event_logging/batch", reader)
			if each.encoding != "" {
				request.Header.Set("Content-Encoding", each.encoding)
			}
			answer, err := hop.Client().Do(request)
			if err != nil {
				t.Fatal(err)
			}
			answer.Body.Close()
			if answer.StatusCode != http.StatusOK || arrived != each.body || encoding != each.encoding {
				t.Errorf("%s, %s: %d, %q, %q", name, kind, answer.StatusCode, arrived, encoding)
			}
		}
	}
}

// Claude Code compresses its requests if NODE_EXTRA_CA_CERTS is not set.
func TestACompressedRequestIsReadAndPassesUnpacked(t *testing.T) {
	packed := func(texts ...string) string {
		var data bytes.Buffer
		for _, text := range texts {
			writer := gzip.NewWriter(&data)
			_, _ = io.WriteString(writer, text)
			_ = writer.Close()
		}
		return data.String()
	}
	fine := `{"messages":[],"system":"` + strings.Repeat("a", 3*pieceBytes) + `"}`
	tool := `{"messages":[],"system":"` + strings.Repeat("a", 3*pieceBytes) + `","tools":[{"type":"web_search_20250305"}]}`
	whole := map[string]bool{}
	hop := inFrontOf(t, unlimited(), func(_ http.ResponseWriter, r *http.Request) {
		if body, err := io.ReadAll(r.Body); err == nil {
			whole[string(body)] = r.Header.Get("Content-Encoding") == ""
		}
	})
	for _, each := range []struct {
		body   string
		passes bool
	}{
		{packed(fine), true},
		{packed(fine[:9], fine[9:]), true}, // members are joined (RFC 1952, 2.2)
		{packed(tool), false},
		{packed(fine, " {}"), false},
		{packed(fine) + "more", false},
		{packed(fine)[:100], false},
		{fine, false},
		{packed(`{"system":"` + strings.Repeat("a", maxUnpacked) + `"}`), false},
	} {
		clear(whole)
		request, _ := http.NewRequest(http.MethodPost, hop.URL+"/v1/messages", strings.NewReader(each.body))
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Content-Encoding", "gzip")
		answer, err := hop.Client().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if passes := answer.StatusCode == http.StatusOK; passes != each.passes || whole[fine] != each.passes || len(whole) > 1 {
			t.Errorf("%.20q: %d, %d whole", each.body, answer.StatusCode, len(whole))
		}
	}
}

func TestAStreamPassesEventByEventWhileItIsCounted(t *testing.T) {
	next := make(chan struct{})
	b := newBetween(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		for _, event := range []string{
			`{"type":"message_start","message":{"model":"claude-opus-5","usage":{"input_tokens":7,"cache_read_input_tokens":5,"output_tokens":1}}}`,
			`{"type":"content_block_delta","delta":{"text":"\"usage\":{\"output_tokens\":7777}"}}`,
			`{"type":"message_delta","usage":{"output_tokens":11}}`,
		} {
			fmt.Fprintf(w, "event: x\r\ndata: %s\r\n\r\n", event)
			w.(http.Flusher).Flush()
			<-next
		}
	})
	answer, err := b.client.Post(b.hop.URL+"/v1/messages", "application/json", strings.NewReader(long("}")))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	buffer, seen := make([]byte, 4096), ""
	for _, part := range []string{"message_start", "7777", "message_delta"} {
		for !strings.Contains(seen, part) { // the server waits until this event has arrived
			n, err := answer.Body.Read(buffer)
			if seen += string(buffer[:n]); err != nil {
				t.Fatal(err)
			}
		}
		next <- struct{}{}
	}
	if _, err := io.ReadAll(answer.Body); err != nil {
		t.Fatal(err)
	}
	if want := (usage{Model: "claude-opus-5", Input: 7, Output: 11, CacheRead: 5}); b.usage() != want {
		t.Fatalf("%+v", b.usage())
	}
}

func TestEarlyStreamsAreNotCutShort(t *testing.T) {
	b := newBetween(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 20 {
			fmt.Fprintf(w, "data: %d\n\n", i)
			w.(http.Flusher).Flush()
		}
	})
	for range 300 {
		body := chunked{strings.NewReader(`{"messages":[],"system":"` + strings.Repeat("x", 40_000) + `"}`)}
		if _, text, _ := b.post(t, "/v1/messages", body); !strings.HasSuffix(text, "data: 19\n\n") {
			t.Fatalf("cut short: %q", text)
		}
	}
}

// The API may begin to answer before it has read the whole request. Without full duplex, net/http waits for the rest first.
func TestAnAnswerMayBeginBeforeTheRequestEnds(t *testing.T) {
	hop := inFrontOf(t, unlimited(), func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		_, _ = r.Body.Read(make([]byte, 10))
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: first\n\n")
		w.(http.Flusher).Flush()
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "data: last\n\n")
	})
	reader, writer := io.Pipe()
	go func() { _, _ = io.WriteString(writer, `{"messages":[],"system":"`) }()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	request, _ := http.NewRequestWithContext(ctx, http.MethodPost, hop.URL+"/v1/messages", chunked{reader})
	request.Header.Set("Content-Type", "application/json")
	answer, err := hop.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	first := make([]byte, len("data: first\n\n"))
	if _, err := io.ReadFull(answer.Body, first); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(writer, `rest"}`)
	_ = writer.Close()
	if rest, err := io.ReadAll(answer.Body); err != nil || string(rest) != "data: last\n\n" {
		t.Fatalf("%q %v", rest, err)
	}
}

// A client that reads no answer before it has sent everything gets the refusal all the same.
func TestARefusalWaitsForTheClient(t *testing.T) {
	b := newBetween(t, fine)
	body := `{"mcp_servers":[],"system":"` + strings.Repeat("long ", 2<<20) + `"}`
	connection, err := net.Dial("tcp", b.hop.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	header := "POST /v1/messages HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
	if _, err := fmt.Fprintf(connection, header+"%s", len(body), body); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil || answer.StatusCode != status {
		t.Fatalf("%v %v", answer, err)
	}
}

func TestAnswersInOnePieceAreCounted(t *testing.T) {
	b := newBetween(t, fine)
	b.post(t, "/v1/messages", strings.NewReader(`{"messages":[]}`))
	if want := (usage{Model: "claude-sonnet-5", Input: 10, Output: 4, CacheRead: 3, CacheWrite: 2}); b.usage() != want {
		t.Fatalf("%+v", b.usage())
	}
	b.post(t, "/v1/messages/count_tokens", strings.NewReader(`{"messages":[]}`))
	if len(b.used) != 1 {
		t.Fatal("count_tokens was counted")
	}
}

func TestAStreamThatIsCutIsCountedAsFarAsItWasSeen(t *testing.T) {
	b := newBetween(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, `data: {"type":"message_start","message":{"model":"m","usage":{"input_tokens":7}}}`+"\n\n")
		_, _ = io.WriteString(w, strings.Repeat(`data: {"type":"content_block_delta"}`+"\n\n", 1000))
	})
	b.post(t, "/v1/messages", strings.NewReader(`{"messages":[]}`))
	if u := b.usage(); u.Input != 7 || u.Output < 1000 || !u.Estimated {
		t.Fatalf("%+v", u)
	}
}

func TestACallThatTheClientGivesUpIsCounted(t *testing.T) {
	began, release := make(chan struct{}), make(chan struct{})
	b := newBetween(t, func(http.ResponseWriter, *http.Request) { close(began); <-release })
	defer close(release)
	ctx, cancel := context.WithCancel(context.Background())
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, b.hop.URL+"/v1/messages", strings.NewReader(long("}")))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if answer, err := b.client.Do(request); err == nil {
			answer.Body.Close()
		}
	}()
	<-began
	cancel()
	<-ended
	for limit := time.After(20 * time.Second); b.usage().Input < megabytes/bytesPerToken; {
		select {
		case <-limit:
			t.Fatalf("%+v", b.usage())
		case <-time.After(time.Millisecond):
		}
	}
	if !b.usage().Estimated {
		t.Fatal("not marked as an estimate")
	}
}

func TestTheBudgetRefusesCallsOnly(t *testing.T) {
	b := newBetween(t, fine)
	b.budget.set(1, "")
	for i, want := range []int{http.StatusOK, status} {
		if code, text, header := b.post(t, "/v1/messages", strings.NewReader(long("}"))); code != want ||
			(i == 1 && (!strings.Contains(text, "budget") || header.Get(refusedWith) != overBudget)) {
			t.Fatalf("call %d: %d %.200s", i, code, text)
		}
	}
	b.budget.set(-1, "the sentence")
	if _, text, _ := b.post(t, "/v1/messages", strings.NewReader(`{}`)); !strings.Contains(text, "codetainer: the sentence") {
		t.Fatal(text)
	}
	if code, _, _ := b.post(t, "/v1/messages/count_tokens", strings.NewReader(`{}`)); code != http.StatusOK {
		t.Fatal(code)
	}
	b.budget.set(-1, "")
	if code, _, _ := b.post(t, "/v1/messages", strings.NewReader(`{}`)); code != http.StatusOK {
		t.Fatal(code)
	}
}

// A client that stops sending has everything so far at the server: nothing is held back.
func TestNothingIsHeldBack(t *testing.T) {
	arrived := make(chan int, 1<<16)
	hop := inFrontOf(t, unlimited(), func(_ http.ResponseWriter, r *http.Request) {
		buffer := make([]byte, 1<<16)
		for {
			n, err := r.Body.Read(buffer)
			arrived <- n
			if err != nil {
				return
			}
		}
	})
	reader, writer := io.Pipe()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if answer, err := hop.Client().Post(hop.URL+"/v1/messages", "application/json", chunked{reader}); err == nil {
			answer.Body.Close()
		}
	}()
	begin := []byte(`{"messages":[{"role":"user","content":"` + strings.Repeat("x", 1_000_000))
	if _, err := writer.Write(begin); err != nil {
		t.Fatal(err)
	}
	limit := time.After(20 * time.Second)
	for got := 0; got < len(begin); {
		select {
		case n := <-arrived:
			got += n
		case <-limit:
			t.Fatalf("only %d of %d bytes arrived", got, len(begin))
		}
	}
	_ = writer.CloseWithError(io.ErrUnexpectedEOF)
	<-ended
}

func TestTheReaderStartsWithAnOrderAndEndsWithItsOrders(t *testing.T) {
	listener, err := net.Listen("unix", t.TempDir()+"/in")
	if err != nil {
		t.Fatal(err)
	}
	orders, give := io.Pipe()
	var out syncedBuffer
	done := make(chan struct{})
	go func() { serve(listener, t.TempDir()+"/nothing", orders, &out); close(done) }()
	_, _ = io.WriteString(give, `{"tools":["web_search"],"calls":-1}`+"\n")
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, "unix", listener.Addr().String())
	}}}
	answer, err := client.Post("http://hop/v1/messages", "application/json", strings.NewReader(`{}`))
	if err != nil || answer.StatusCode != http.StatusBadGateway {
		t.Fatalf("%v %v", answer, err)
	}
	answer.Body.Close()
	if text := out.String(); text != `{"ready":true}`+"\n"+`{"begun":true}`+"\n"+`{"answer":{"status":0}}`+"\n" {
		t.Fatalf("%q", text)
	}
	_ = give.Close()
	<-done
}

type syncedBuffer struct {
	lock   sync.Mutex
	buffer bytes.Buffer
}

func (s *syncedBuffer) Write(p []byte) (int, error) {
	s.lock.Lock()
	defer s.lock.Unlock()
	return s.buffer.Write(p)
}

func (s *syncedBuffer) String() string {
	s.lock.Lock()
	defer s.lock.Unlock()
	return s.buffer.String()
}
