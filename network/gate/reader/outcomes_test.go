package main

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

const streamStart = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\"m\",\"usage\":{\"input_tokens\":1}}}\n\n"
const streamEnd = "event: message_delta\ndata: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":2}}\n\n"

// told waits until the hop has told about an answer's end, or about an answer without one.
func (b *between) told(t *testing.T, wants func(note) bool) note {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		b.lock.Lock()
		for _, each := range b.notes {
			if wants(each) {
				b.lock.Unlock()
				return each
			}
		}
		b.lock.Unlock()
	}
	t.Fatalf("not told: %+v", b.notes)
	return note{}
}

func TestARefusedCallIsToldWithTheHeadersAboutItsLimit(t *testing.T) {
	b := newBetween(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "40")
		w.Header().Set("Anthropic-Ratelimit-Unified-Reset", "1795912004")
		w.Header().Set("Anthropic-Ratelimit-Long", strings.Repeat("x", 1000))
		w.Header().Add("Anthropic-Ratelimit-Twice", "1")
		w.Header().Add("Anthropic-Ratelimit-Twice", "2")
		w.Header().Set("Set-Cookie", "secret")
		for i := range 100 {
			w.Header().Set("Anthropic-Ratelimit-"+strconv.Itoa(i), "1")
		}
		w.WriteHeader(http.StatusTooManyRequests)
	})
	for credential, header := range map[string][2]string{
		"TOKEN": {"Authorization", "Bearer placeholder"}, "KEY": {"X-Api-Key", "key-placeholder"}, "": {"X-Api-Key", "other"},
	} {
		b.notes = nil
		b.post(t, "/v1/messages", strings.NewReader(`{"messages":[],"model":"opus é"}`), header[0], header[1])
		told := b.told(t, func(n note) bool { return n.Answer != nil }).Answer
		if told.Status != 429 || told.Model != "opus ??" || told.Credential != credential {
			t.Errorf("%s: %+v", credential, told)
		}
		if len(told.Headers) != maxHeaders || told.Headers["set-cookie"] != "" || told.Headers["anthropic-ratelimit-long"] != "" {
			t.Errorf("%s: %+v", credential, told.Headers)
		}
		if told.Headers["anthropic-ratelimit-twice"] != "" {
			t.Errorf("%s: %+v", credential, told.Headers)
		}
	}
	b.notes = nil
	b.post(t, "/v1/messages/count_tokens", strings.NewReader(`{"messages":[]}`))
	if len(b.notes) != 0 {
		t.Errorf("counting tokens is not a call of the model: %+v", b.notes)
	}
}

func TestTheHeadersThatMatterAreKept(t *testing.T) {
	kept := aboutLimits(http.Header{"Retry-After": {"1\n2"}, "Date": {"x"}, "Anthropic-Ratelimit-Unified-Status": {"rejected"}, "Server": {"x"}})
	if len(kept) != 3 || kept["retry-after"] != "1?2" || kept["date"] != "x" || kept["anthropic-ratelimit-unified-status"] != "rejected" {
		t.Errorf("%+v", kept)
	}
}

func TestTheEndOfAnAnswerIsTold(t *testing.T) {
	for name, each := range map[string]struct {
		kind, text string
		cut, whole bool
	}{
		"stream":                 {"text/event-stream", streamStart + streamEnd, false, true},
		"stream, cut":            {"text/event-stream", streamStart, true, false},
		"stream without its end": {"text/event-stream", streamStart, false, false},
		"in one piece":           {"application/json", `{"model":"m"}`, false, true},
		"in one piece, cut":      {"application/json", `{"model":`, true, false},
	} {
		b := newBetween(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", each.kind)
			_, _ = io.WriteString(w, each.text)
			_ = http.NewResponseController(w).Flush()
			if each.cut {
				panic(http.ErrAbortHandler)
			}
		})
		request, _ := http.NewRequest(http.MethodPost, b.hop.URL+"/v1/messages", strings.NewReader(`{"model":"m","messages":[]}`))
		request.Header.Set("Content-Type", "application/json")
		answer, err := b.client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
		told := b.told(t, func(n note) bool { return n.Ended != nil }).Ended
		if told.Whole != each.whole || told.Model != "m" {
			t.Errorf("%s: %+v", name, told)
		}
		b.told(t, func(n note) bool { return n.Moved })
	}
}

func TestAnAnswerThatTheClientGivesUpSaysNothing(t *testing.T) {
	gone := make(chan struct{})
	b := newBetween(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, streamStart)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		close(gone)
	})
	request, _ := http.NewRequest(http.MethodPost, b.hop.URL+"/v1/messages", strings.NewReader(`{"model":"m","messages":[]}`))
	request.Header.Set("Content-Type", "application/json")
	answer, err := b.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.ReadFull(answer.Body, make([]byte, 10))
	answer.Body.Close()
	<-gone
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline) && b.usage().Input == 0; time.Sleep(time.Millisecond) {
	}
	b.lock.Lock()
	defer b.lock.Unlock()
	for _, each := range b.notes {
		if each.Ended != nil {
			t.Errorf("%+v", each.Ended)
		}
	}
}

func TestAFailedConnectionIsTold(t *testing.T) {
	b := newBetween(t, fine)
	b.server.Close()
	b.post(t, "/v1/messages", strings.NewReader(`{"model":"m","messages":[]}`))
	if told := b.told(t, func(n note) bool { return n.Answer != nil }).Answer; told.Status != 0 || told.Model != "m" {
		t.Errorf("%+v", told)
	}
}

// silence makes a server that sends `start` and then nothing until the test ends, and calls it.
func silence(t *testing.T, start string, after time.Duration) *between {
	before := silentTime
	silentTime = after
	end := make(chan struct{})
	b := newBetween(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if start != "" {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, start)
			_ = http.NewResponseController(w).Flush()
		}
		<-end
	})
	t.Cleanup(func() { // first of all: the servers wait for their handlers
		close(end)
		silentTime = before
	})
	go func() {
		request, _ := http.NewRequest(http.MethodPost, b.hop.URL+"/v1/messages", strings.NewReader(`{"model":"m","messages":[]}`))
		request.Header.Set("Content-Type", "application/json")
		if answer, err := b.client.Do(request); err == nil {
			_, _ = io.Copy(io.Discard, answer.Body)
			answer.Body.Close()
		}
	}()
	return b
}

func silent(n note) bool {
	return n.Answer != nil && n.Answer.Silent && n.Answer.Status == 0 && n.Answer.Model == "m"
}

func TestASilentServerIsToldAgainAndAgain(t *testing.T) {
	for _, start := range []string{"", streamStart} {
		t.Run(strconv.Itoa(len(start)), func(t *testing.T) {
			b := silence(t, start, 20*time.Millisecond)
			for range 2 {
				b.told(t, silent)
				b.lock.Lock()
				b.notes = nil
				b.lock.Unlock()
			}
		})
	}
}

func TestACallIsSettledIfItIsOverOrALaterOneHasPassed(t *testing.T) {
	w, this := &watcher{}, &call{}
	this.sent.Store(2)
	for passed, settled := range map[int64]bool{0: false, 1: false, 3: true} {
		w.passed.Store(passed)
		if w.settled(this) != settled {
			t.Errorf("passed at %d: settled %v", passed, !settled)
		}
	}
	w.passed.Store(0)
	this.over.Store(true)
	if !w.settled(this) {
		t.Error("it is over")
	}
}
