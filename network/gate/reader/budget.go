package main

import (
	"sync"
)

// budget bounds the calls of the model. The supervisor counts what they cost (backend/services/reader.py), and says here whether more
// may begin.
type budget struct {
	lock     sync.Mutex
	parallel int
	begun    int64
	calls    int64  // that may begin in all, -1 if unlimited
	refusal  string // no call may begin; the sentence for the client
	onBegin  func()
}

const (
	usedUp  = "the operator's budget for the model is used up (calls). Stop here; only the operator can continue it, with: `codetainer budget +calls=N`"
	tooMany = "too many calls of the model at once; send fewer in parallel"
)

// set takes the supervisor's decision.
func (b *budget) set(calls int64, refusal string) {
	b.lock.Lock()
	defer b.lock.Unlock()
	b.calls, b.refusal = calls, refusal
}

// begin counts a call. It returns a function for its end, or why the call may not begin.
func (b *budget) begin() (func(), string) {
	b.lock.Lock()
	defer b.lock.Unlock()
	switch {
	case b.refusal != "":
		return nil, b.refusal
	case b.calls >= 0 && b.begun >= b.calls:
		return nil, usedUp
	case b.parallel >= maxParallel:
		return nil, tooMany
	}
	b.begun++
	b.parallel++
	b.onBegin()
	return b.end, ""
}

func (b *budget) end() {
	b.lock.Lock()
	defer b.lock.Unlock()
	b.parallel--
}
