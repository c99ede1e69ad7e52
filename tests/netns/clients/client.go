// Runs a plan (tests/netns/clients/rows.py) with Go's net/http. Or prints Go's version: client version
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"runtime"
)

type step struct {
	Wait    bool
	Method  string
	URL     string
	Headers map[string]string
	Body    int
}

type result struct {
	Status int    `json:"status"`
	Size   int64  `json:"size"`
	Error  string `json:"error"`
}

func run(s step) (r result) {
	var body io.Reader
	if s.Body > 0 {
		body = bytes.NewReader(make([]byte, s.Body))
	}
	request, err := http.NewRequest(s.Method, s.URL, body)
	if err == nil {
		for name, value := range s.Headers {
			request.Header.Set(name, value)
		}
		var answer *http.Response
		if answer, err = http.DefaultClient.Do(request); err == nil {
			defer answer.Body.Close()
			r.Status = answer.StatusCode
			r.Size, err = io.Copy(io.Discard, answer.Body)
		}
	}
	if err != nil {
		r = result{Error: err.Error()}
	}
	return r
}

func main() {
	if os.Args[1] == "version" {
		os.Stdout.WriteString(runtime.Version() + "\n")
		return
	}
	text, err := os.ReadFile(os.Args[1])
	if err != nil {
		panic(err)
	}
	var steps []step
	if err := json.Unmarshal(text, &steps); err != nil {
		panic(err)
	}
	input, output := bufio.NewReader(os.Stdin), json.NewEncoder(os.Stdout)
	for _, s := range steps {
		if s.Wait {
			input.ReadString('\n')
			continue
		}
		output.Encode(run(s))
	}
}
