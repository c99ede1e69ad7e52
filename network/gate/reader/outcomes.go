package main

// Tells the supervisor what becomes of each call of the model, so that it knows the state of the session without trusting the agent:
// backend/session/watchdog.py. Only the status, the headers about limits and the end of an answer are looked at, not its text.

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

const (
	maxHeaders  = 40  // about limits, of an answer
	maxWord     = 100 // bytes of a header or a model's name that are told
	moveEvery   = 2 * time.Second
	limitPrefix = "anthropic-ratelimit-"
)

// silentTime is how long a server may send nothing until that is told.
var silentTime = time.Minute

// outcome is an answer to a call of the model. Status 0: the connection failed before an answer, or, if `Silent`, the server has sent
// nothing for `silentTime`. `Credential` is the variable whose placeholder the request had, "" if it had none.
type outcome struct {
	Status     int               `json:"status"`
	Silent     bool              `json:"silent,omitempty"`
	Model      string            `json:"model,omitempty"`
	Credential string            `json:"credential,omitempty"`
	Headers    map[string]string `json:"headers,omitempty"`
}

// end tells how the body of a successful answer ended: whole, or broken off by the server.
type end struct {
	Whole bool   `json:"whole"`
	Model string `json:"model,omitempty"`
}

// watcher reports outcomes.
type watcher struct {
	write  func(note)
	moved  atomic.Int64 // time of the last report of progress, in nanoseconds since the epoch
	passed atomic.Int64 // time at which the last whole answer ended, in the same unit
}

// answered reports the status of an answer and, unless the call succeeded, its headers about limits.
func (w *watcher) answered(this *call, answer *http.Response) {
	told := outcome{Status: answer.StatusCode, Model: this.model(), Credential: this.credential}
	if answer.StatusCode != http.StatusOK {
		told.Headers = aboutLimits(answer.Header)
	}
	w.write(note{Answer: &told})
}

// failed reports a call whose connection failed before an answer.
func (w *watcher) failed(this *call) {
	w.write(note{Answer: &outcome{Model: this.model(), Credential: this.credential}})
}

// attend reports every silentTime that the server sends nothing, until the call is over or a later one has passed. Whether the client
// still waits is not known here: HAProxy keeps the connection of a client that has gone.
func (w *watcher) attend(this *call) {
	now, every := time.Now().UnixNano(), silentTime
	this.sent.Store(now)
	this.last.Store(now)
	var look func()
	look = func() {
		if w.settled(this) {
			return
		}
		if time.Since(time.Unix(0, this.last.Load())) >= every {
			w.write(note{Answer: &outcome{Silent: true, Model: this.model(), Credential: this.credential}})
		}
		time.AfterFunc(every, look)
	}
	time.AfterFunc(every, look)
}

// settled tells whether nothing more is to be told about a call that was sent.
func (w *watcher) settled(this *call) bool {
	return this.over.Load() || w.passed.Load() > this.sent.Load()
}

// progress reports that bytes of an answer arrive, but not each of them.
func (w *watcher) progress(this *call) {
	now, before := time.Now().UnixNano(), w.moved.Load()
	this.last.Store(now)
	if time.Duration(now-before) >= moveEvery && w.moved.CompareAndSwap(before, now) {
		w.write(note{Moved: true})
	}
}

// ended reports the end of a successful answer. An answer that the client did not want to its end says nothing about the API.
func (w *watcher) ended(this *call, whole bool, client context.Context) {
	if whole {
		w.passed.Store(time.Now().UnixNano())
	}
	if whole || client.Err() == nil {
		w.write(note{Ended: &end{Whole: whole, Model: this.model()}})
	}
}

func aboutLimits(header http.Header) map[string]string {
	told := make(map[string]string)
	for name, values := range header {
		name = strings.ToLower(name)
		wanted := name == "retry-after" || name == "date" || strings.HasPrefix(name, limitPrefix)
		if wanted && len(values) == 1 && len(name) <= maxWord && len(values[0]) <= maxWord && len(told) < maxHeaders {
			told[name] = logged(values[0])
		}
	}
	return told
}

// named are the rules for a request, which also keep the name of its model.
type named struct {
	policy
	model string
}

func (n *named) name(zone int, name []byte, escaped bool) (int, bool, error) {
	if zone == zoneRequest && !escaped && string(name) == "model" {
		return zoneOpaque, true, nil
	}
	return n.policy.name(zone, name, escaped)
}

func (n *named) value(zone int, name, value []byte) error {
	if zone == zoneRequest { // the only value of a request itself that is wanted
		n.model = logged(string(value))
		return nil
	}
	return n.policy.value(zone, name, value)
}

// credential returns the variable of the placeholder that a request presents, "" if there is none.
func credential(r *http.Request, placeholders map[string]string) string {
	if variable := placeholders[r.Header.Get("X-Api-Key")]; variable != "" {
		return variable
	}
	if _, secret, found := strings.Cut(r.Header.Get("Authorization"), " "); found {
		return placeholders[strings.TrimSpace(secret)]
	}
	return ""
}
