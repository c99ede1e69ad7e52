package main

// The hop between the two halves of the gate: reads each request to the model while it passes, and the usage in each answer.

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"mime"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	pieceBytes   = 32 << 10
	drainBytes   = 64 << 20
	maxUnpacked  = 64 << 20 // bytes; the API takes 32 MB
	drainTime    = 2 * time.Second
	idleTime     = 55 * time.Second // less than HAProxy's `timeout http-keep-alive`, so that it never closes a connection first
	maxParallel  = 64               // calls at once: bounds what may be spent beyond a budget
	refusedWith  = "X-Codetainer-Refused"
	overBudget   = "budget"
	status       = http.StatusUnprocessableEntity // Claude Code shows it, does not repeat it, and does not ask to log in
	askOperator  = "if the work needs it, ask the operator"
	messagesPath = "/v1/messages"
	countPath    = "/v1/messages/count_tokens"
)

// unread are the paths whose bodies are not requests to the model, such as compressed telemetry. All others are read.
var unread = []string{"/api/"}

type hop struct {
	proxy  *httputil.ReverseProxy
	budget *budget
	report func(usage)
	watch  *watcher

	lock         sync.RWMutex
	rules        policy
	placeholders map[string]string // variables of credentials by their placeholders
}

// call is what the hop knows of a request. It is kept in the request's context.
type call struct {
	checked    *checkedBody // nil if the body is not read
	counts     bool         // it is a call of the model
	named      *named
	credential string // the variable of the placeholder that it has
	bytes      atomic.Int64
	whole      atomic.Bool  // all of the request has passed
	settled    atomic.Bool  // the server has answered
	over       atomic.Bool  // its answer has ended, or there is none to wait for
	sent, last atomic.Int64 // when all of it had passed, and when the server moved last, in nanoseconds since the epoch
}

type callKey struct{}

// model is the name of the model in the request, as far as it has passed.
func (c *call) model() string {
	c.checked.lock.Lock()
	defer c.checked.lock.Unlock()
	return c.named.model
}

func newHop(upstream func(context.Context) (net.Conn, error), budget *budget, report func(usage), write func(note)) *hop {
	h := &hop{budget: budget, report: report, watch: &watcher{write: write}}
	h.proxy = &httputil.ReverseProxy{
		Rewrite:       rewrite,
		FlushInterval: -1,
		BufferPool:    &pieces{},
		ErrorLog:      log.New(io.Discard, "", 0), // connections that a client has cut
		ErrorHandler:  h.failed,
		ModifyResponse: func(answer *http.Response) error {
			return h.answered(answer)
		},
		Transport: &http.Transport{
			DialContext:            func(ctx context.Context, _, _ string) (net.Conn, error) { return upstream(ctx) },
			DisableCompression:     true,
			MaxIdleConnsPerHost:    maxParallel,
			IdleConnTimeout:        idleTime,
			WriteBufferSize:        pieceBytes,
			ReadBufferSize:         pieceBytes,
			ForceAttemptHTTP2:      false,
			MaxResponseHeaderBytes: 1 << 17,
		},
	}
	return h
}

func (h *hop) permit(words []string, placeholders map[string]string) {
	h.lock.Lock()
	defer h.lock.Unlock()
	h.rules, h.placeholders = newPolicy(words), placeholders
}

func (h *hop) permitted() (policy, map[string]string) {
	h.lock.RLock()
	defer h.lock.RUnlock()
	return h.rules, h.placeholders
}

func rewrite(r *httputil.ProxyRequest) {
	r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = "http", "gate", r.In.Host
	r.Out.URL.RawQuery = r.In.URL.RawQuery          // ReverseProxy drops what it cannot parse
	r.Out.Header.Set("Accept-Encoding", "identity") // usage is read from the answer
	r.Out.Header.Del("Trailer")
	r.Out.Trailer = nil // HAProxy cannot see trailers
}

func (h *hop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	// Without this, net/http may discard the rest of a request while its answer is already being sent, and cuts the answer short.
	if err := control.EnableFullDuplex(); err != nil {
		refuse(w, nil, http.StatusInternalServerError, "cannot read this request", "")
		return
	}
	this, problem := h.examine(r)
	if problem != nil {
		h.drain(control, r.Body, w)
		h.refuse(w, r, problem)
		return
	}
	if this.checked != nil {
		r.Body = this.checked
		if problem := this.checked.peek(); problem != nil {
			h.drain(control, this.checked.raw, w)
			h.refuse(w, r, problem)
			return
		}
	}
	if this.counts {
		release, why := h.budget.begin()
		if why != "" {
			h.drain(control, this.checked.raw, w)
			code := status
			if why == tooMany { // clients repeat it
				code = http.StatusTooManyRequests
			}
			refuse(w, r, code, why, overBudget)
			return
		}
		defer release()
		defer h.settle(this)
	}
	h.proxy.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callKey{}, this)))
}

// settle counts a call that the client has given up before the server answered: the server may have begun to work on it.
func (h *hop) settle(this *call) {
	if this.whole.Load() && !this.settled.Load() {
		h.report(usage{Input: this.bytes.Load() / bytesPerToken, Estimated: true})
	}
}

// examine decides by the header how a request is read.
func (h *hop) examine(r *http.Request) (*call, error) {
	path := strings.ToLower(strings.TrimRight(r.URL.Path, "/"))
	for _, prefix := range unread {
		if strings.HasPrefix(path, prefix) {
			return &call{}, nil
		}
	}
	hasBody := r.ContentLength != 0 || len(r.TransferEncoding) > 0
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		if hasBody {
			return nil, unclear("it has a body, but %s requests have none", r.Method)
		}
		return &call{}, nil
	}
	if path != messagesPath && path != countPath {
		return nil, forbidden{what: r.Method + " " + shownPath(path)}
	}
	if r.Method != http.MethodPost {
		return nil, forbidden{what: r.Method + " " + path}
	}
	var from io.Reader = r.Body
	length := r.ContentLength
	switch strings.ToLower(strings.TrimSpace(strings.Join(r.Header.Values("Content-Encoding"), ","))) {
	case "", "identity":
	case "gzip": // the server gets what was read here, so both see the same
		from, length = &unpacked{raw: r.Body}, -1
		r.Header.Del("Content-Encoding")
		r.ContentLength = -1
	default:
		return nil, unclear("it is compressed in another form than gzip (content-encoding)")
	}
	if kinds := r.Header.Values("Content-Type"); len(kinds) != 1 || !isJSON(kinds[0]) {
		return nil, unclear("its content-type is not application/json")
	}
	if !hasBody { // net/http would not read it
		return nil, unclear("it is empty")
	}
	rules, placeholders := h.permitted()
	this := &call{counts: path == messagesPath, named: &named{policy: rules}, credential: credential(r, placeholders)}
	this.checked = &checkedBody{
		watch: h.watch,
		from:  from, raw: r.Body, scanner: newScanner(this.named, zoneRequest), left: length, call: this,
	}
	return this, nil
}

func isJSON(kind string) bool {
	kind, parameters, err := mime.ParseMediaType(kind)
	if err != nil || kind != "application/json" {
		return false
	}
	for name, value := range parameters {
		if name != "charset" || !strings.EqualFold(value, "utf-8") {
			return false
		}
	}
	return true
}

func shownPath(path string) string {
	if len(path) > 100 {
		path = path[:100]
	}
	return fmt.Sprintf("%+q", path)
}

// checkedBody reads a request's body. No byte passes before the scanner has accepted it, and the last byte only if the whole body is
// acceptable: a refused request never reaches the server whole.
type checkedBody struct {
	from    io.Reader
	raw     io.Reader // the body as the client sent it
	scanner *scanner
	first   []byte // read already
	early   error
	left    int64 // bytes until the end, -1 if unknown
	call    *call
	watch   *watcher

	lock    sync.Mutex
	refused error
}

// unpacked decodes a body in the form of gzip (RFC 1952). Anything else in it, such as text after its end, is refused.
type unpacked struct {
	raw  io.Reader
	gzip *gzip.Reader
	size int64
}

func (u *unpacked) Read(p []byte) (n int, err error) {
	if u.gzip == nil {
		if u.gzip, err = gzip.NewReader(u.raw); err != nil {
			u.gzip = nil
			return 0, unclear("it cannot be unpacked (gzip)")
		}
	}
	n, err = u.gzip.Read(p)
	if u.size += int64(n); u.size > maxUnpacked {
		return 0, unclear("it is too large when unpacked (gzip)")
	}
	if err != nil && err != io.EOF {
		return 0, unclear("it cannot be unpacked (gzip)")
	}
	return n, err
}

// peek reads the first piece, so that most refused requests do not reach the server at all.
func (b *checkedBody) peek() error {
	first := make([]byte, pieceBytes)
	n, err := b.read(first)
	if problem := b.problem(); problem != nil {
		return problem
	}
	b.first, b.early = first[:n], err
	return nil
}

func (b *checkedBody) Read(p []byte) (int, error) {
	if len(b.first) > 0 {
		n := copy(p, b.first)
		b.first = b.first[n:]
		return n, nil
	}
	if b.early != nil {
		return 0, b.early
	}
	return b.read(p)
}

func (b *checkedBody) read(p []byte) (int, error) {
	if err := b.problem(); err != nil {
		return 0, err
	}
	n, err := b.from.Read(p)
	if problem := (ambiguous{}); errors.As(err, &problem) { // from unpacked
		return 0, b.refuse(problem)
	}
	b.call.bytes.Add(int64(n))
	if problem := b.scan(p[:n]); problem != nil {
		return 0, b.refuse(problem)
	}
	last := err == io.EOF
	if b.left > 0 {
		b.left -= int64(n)
		last = last || b.left <= 0
	}
	if last {
		if problem := b.scanner.end(); problem != nil {
			return 0, b.refuse(problem)
		}
		if !b.call.whole.Swap(true) && b.call.counts {
			b.watch.attend(b.call)
		}
	}
	return n, err
}

// scan reads a piece. The lock is for the model's name, which is read when the server answers, maybe before the request has passed.
func (b *checkedBody) scan(piece []byte) error {
	b.lock.Lock()
	defer b.lock.Unlock()
	return b.scanner.write(piece)
}

// Close does nothing: the handler still has to read the rest of a refused body.
func (b *checkedBody) Close() error { return nil }

func (b *checkedBody) refuse(problem error) error {
	b.lock.Lock()
	defer b.lock.Unlock()
	b.refused = problem
	return problem
}

func (b *checkedBody) problem() error {
	b.lock.Lock()
	defer b.lock.Unlock()
	return b.refused
}

// answered wraps the body of an answer.
func (h *hop) answered(answer *http.Response) error {
	this := answer.Request.Context().Value(callKey{}).(*call)
	if this.checked != nil {
		if problem := this.checked.problem(); problem != nil { // the server answered to a part of the request
			return problem
		}
	}
	this.settled.Store(true)
	if !this.counts {
		return nil
	}
	h.watch.answered(this, answer)
	if answer.StatusCode == http.StatusOK {
		body := meter(answer, this.bytes.Load(), func(used usage, whole bool) {
			h.report(used)
			this.over.Store(true)
			h.watch.ended(this, whole, answer.Request.Context())
		})
		body.progress = func() { h.watch.progress(this) }
		answer.Body = body
	} else {
		this.over.Store(true)
	}
	return nil
}

// failed answers a request that did not reach the server, or not whole.
func (h *hop) failed(w http.ResponseWriter, r *http.Request, err error) {
	this := r.Context().Value(callKey{}).(*call)
	this.over.Store(true)
	if this.checked != nil {
		if problem := this.checked.problem(); problem != nil {
			h.drain(http.NewResponseController(w), this.checked.from, w)
			h.refuse(w, r, problem)
			return
		}
	}
	if failed := (*net.OpError)(nil); errors.As(err, &failed) && failed.Op == "dial" {
		this.settled.Store(true) // nothing was sent
	}
	if errors.Is(err, context.Canceled) || r.Context().Err() != nil {
		w.WriteHeader(http.StatusBadGateway) // the client has gone
		return
	}
	if this.counts {
		h.watch.failed(this)
	}
	refuse(w, r, http.StatusBadGateway, "the connection to this host was cut", "")
}

// drain takes the rest of a request: a client that is still sending would not see the answer.
func (h *hop) drain(control *http.ResponseController, body io.Reader, w http.ResponseWriter) {
	_ = control.SetReadDeadline(time.Now().Add(drainTime))
	_, err := io.CopyN(io.Discard, body, drainBytes)
	if err != io.EOF {
		w.Header().Set("Connection", "close")
	}
	_ = control.SetReadDeadline(time.Time{})
}

// refuse answers a request that the rules do not permit.
func (h *hop) refuse(w http.ResponseWriter, r *http.Request, problem error) {
	var notPermitted forbidden
	if errors.As(problem, &notPermitted) {
		text := fmt.Sprintf("the agent may not use %s; %s", notPermitted.what, askOperator)
		if notPermitted.word != "" {
			text += " to add " + notPermitted.word + " to CODETAINER_MODEL_TOOLS"
		}
		refuse(w, r, status, text, notPermitted.reason())
		return
	}
	refuse(w, r, status, "this request is not plain JSON: "+problem.Error()+"; it was not sent", problem.Error())
}

// refuse sends a refusal in the API's format. Clients show `message`, in one of its places; the gate logs `reason`.
func refuse(w http.ResponseWriter, r *http.Request, code int, text, reason string) {
	text = "codetainer: " + text
	kind := "permission_error"
	if code >= http.StatusInternalServerError {
		kind = "api_error"
	}
	body, _ := json.Marshal(map[string]any{
		"type": "error", "message": text, "error": map[string]string{"type": kind, "message": text},
	})
	w.Header().Set("Content-Type", "application/json")
	if reason != "" {
		w.Header().Set(refusedWith, logged(reason))
	}
	w.WriteHeader(code)
	if r == nil || r.Method != http.MethodHead {
		_, _ = w.Write(append(body, '\n'))
	}
}

// logged makes a reason fit into a header: printable ASCII of bounded length.
func logged(reason string) string {
	clean := []byte(reason)
	if len(clean) > 120 {
		clean = clean[:120]
	}
	for i, b := range clean {
		if b < ' ' || b > '~' {
			clean[i] = '?'
		}
	}
	return string(clean)
}

// pieces are the buffers for answers.
type pieces struct{ pool sync.Pool }

func (p *pieces) Get() []byte {
	if buffer, ok := p.pool.Get().(*[]byte); ok {
		return *buffer
	}
	return make([]byte, pieceBytes)
}

func (p *pieces) Put(buffer []byte) { p.pool.Put(&buffer) }
