package main

// Reads the usage that the API reports in its answers: https://docs.anthropic.com/en/api/messages-streaming. The answer itself passes
// unchanged.

import (
	"bytes"
	"encoding/json"
	"io"
	"mime"
	"net/http"
)

const (
	maxLine       = 256 << 10 // bytes of an event that are read; the events with usage are short
	maxAnswer     = 4 << 20   // bytes of an answer in one piece that are kept for reading
	bytesPerToken = 3         // an estimate that is rather too high, for answers whose usage is not known
)

// usage has the tokens of a call. `Estimated`: the answer did not tell all of them, so these are guessed from its size.
type usage struct {
	Model      string `json:"model"`
	Input      int64  `json:"input"`
	Output     int64  `json:"output"`
	CacheRead  int64  `json:"cache_read"`
	CacheWrite int64  `json:"cache_write"`
	Searches   int64  `json:"searches,omitempty"`
	Estimated  bool   `json:"estimated,omitempty"`
}

// reported is the usage in the API's words.
type reported struct {
	Input      *int64 `json:"input_tokens"`
	Output     *int64 `json:"output_tokens"`
	CacheRead  *int64 `json:"cache_read_input_tokens"`
	CacheWrite *int64 `json:"cache_creation_input_tokens"`
	ServerTool struct {
		Searches int64 `json:"web_search_requests"`
	} `json:"server_tool_use"`
}

// take keeps the higher numbers: each event repeats the totals so far.
func (u *usage) take(from *reported) {
	for _, pair := range []struct {
		to   *int64
		from *int64
	}{{&u.Input, from.Input}, {&u.Output, from.Output}, {&u.CacheRead, from.CacheRead}, {&u.CacheWrite, from.CacheWrite}} {
		if pair.from != nil {
			*pair.to = max(*pair.to, *pair.from)
		}
	}
	u.Searches = max(u.Searches, from.ServerTool.Searches)
}

// metered is the body of an answer. It calls `done` once, when the answer has ended or was cut short.
type metered struct {
	from    io.ReadCloser
	request int64 // bytes of the request, for an estimate
	stream  bool
	kept    []byte // the current line, or the answer so far
	skips   bool   // the current line is too long
	passed  int64
	began   bool // message_start was read
	ended   bool // the answer told its final usage
	reached bool // the body was read to its end
	total   usage

	done     func(used usage, whole bool) // whole: the answer was complete
	progress func()                       // called for each piece, if it is not nil
}

func meter(answer *http.Response, request int64, done func(usage, bool)) *metered {
	kind, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	return &metered{from: answer.Body, request: request, stream: kind == "text/event-stream", done: done}
}

func (m *metered) Read(p []byte) (int, error) {
	n, err := m.from.Read(p)
	m.passed += int64(n)
	if n > 0 && m.progress != nil {
		m.progress()
	}
	if m.stream {
		m.lines(p[:n])
	} else if len(m.kept)+n <= maxAnswer {
		m.kept = append(m.kept, p[:n]...)
	}
	if err != nil {
		m.reached = err == io.EOF
		m.finish()
	}
	return n, err
}

func (m *metered) Close() error {
	m.finish()
	return m.from.Close()
}

func (m *metered) lines(piece []byte) {
	for len(piece) > 0 {
		part, rest, whole := bytes.Cut(piece, []byte("\n"))
		if len(m.kept)+len(part) > maxLine {
			m.skips, m.kept = true, m.kept[:0]
		}
		if !m.skips {
			m.kept = append(m.kept, part...)
		}
		if whole {
			if !m.skips {
				m.event(m.kept)
			}
			m.skips, m.kept = false, m.kept[:0]
		}
		piece = rest
	}
}

// event reads a line of the stream.
func (m *metered) event(line []byte) {
	data, found := bytes.CutPrefix(line, []byte("data:"))
	if !found || !bytes.Contains(data, []byte(`"usage"`)) {
		return
	}
	var event struct {
		Type    string `json:"type"`
		Message struct {
			Model string   `json:"model"`
			Usage reported `json:"usage"`
		} `json:"message"`
		Usage reported `json:"usage"`
	}
	if json.Unmarshal(data, &event) != nil {
		return
	}
	switch event.Type {
	case "message_start":
		m.began, m.total.Model = true, event.Message.Model
		m.total.take(&event.Message.Usage)
	case "message_delta":
		m.ended = true
		m.total.take(&event.Usage)
	}
}

func (m *metered) finish() {
	if m.done == nil {
		return
	}
	if !m.stream {
		var answer struct {
			Model string    `json:"model"`
			Usage *reported `json:"usage"`
		}
		if m.passed == int64(len(m.kept)) && json.Unmarshal(m.kept, &answer) == nil && answer.Usage != nil {
			m.began, m.ended, m.total.Model = true, true, answer.Model
			m.total.take(answer.Usage)
		}
	}
	if !m.began {
		m.total.Input = m.request / bytesPerToken
	}
	if !m.ended { // at most one token for so many bytes of the stream, whose events repeat themselves
		m.total.Output = max(m.total.Output, m.passed/(8*bytesPerToken))
	}
	m.total.Estimated = !m.began || !m.ended
	done := m.done
	m.done, m.kept = nil, nil
	done(m.total, m.reached && (m.ended || !m.stream))
}
