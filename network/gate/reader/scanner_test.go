package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand"
	"os"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// read feeds a document in pieces that end at places chosen by `cuts`.
func read(document []byte, rules rules, cuts *rand.Rand) error {
	s := newScanner(rules, zoneRequest)
	for len(document) > 0 {
		n := len(document)
		if cuts != nil {
			n = 1 + cuts.Intn(min(n, 1+cuts.Intn(40)))
		}
		if err := s.write(document[:n]); err != nil {
			return err
		}
		document = document[n:]
	}
	return s.end()
}

// anything accepts all documents: only the JSON is checked.
type anything struct{}

func (anything) name(zone int, _ []byte, _ bool) (int, bool, error) { return zone, false, nil }
func (anything) value(int, []byte, []byte) error                    { return nil }

// tree reads a document with encoding/json, and refuses what the scanner has to refuse.
func tree(document []byte) (any, error) {
	if !utf8.Valid(document) || !json.Valid(document) {
		return nil, errors.New("not JSON")
	}
	decoder := json.NewDecoder(bytes.NewReader(document))
	decoder.UseNumber()
	value, err := branch(decoder, 0)
	if err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, errors.New("text after the end")
	}
	if _, ok := value.(map[string]any); !ok {
		return nil, errors.New("not an object")
	}
	return value, surrogates(document)
}

func branch(decoder *json.Decoder, depth int) (any, error) {
	token, err := decoder.Token()
	if err != nil {
		return nil, err
	}
	if _, opens := token.(json.Delim); opens && depth == maxDepth {
		return nil, errors.New("too deep")
	}
	switch token {
	case json.Delim('['):
		list := []any{}
		for decoder.More() {
			item, err := branch(decoder, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, item)
		}
		_, err := decoder.Token()
		return list, err
	case json.Delim('{'):
		object := map[string]any{}
		for decoder.More() {
			name, err := decoder.Token()
			if err != nil {
				return nil, err
			}
			text := name.(string)
			if _, repeated := object[text]; repeated || len(text) > maxName {
				return nil, errors.New("name")
			}
			if object[text], err = branch(decoder, depth+1); err != nil {
				return nil, err
			}
		}
		_, err := decoder.Token()
		return object, err
	}
	if number, ok := token.(json.Number); ok && len(number) > maxNumber {
		return nil, errors.New("number")
	}
	return token, nil
}

// surrogates finds \u escapes of unpaired surrogates in a valid document: encoding/json replaces them.
func surrogates(document []byte) error {
	high := false
	for i := 0; i < len(document); i++ {
		if document[i] != '\\' {
			if high {
				return errors.New("surrogate")
			}
			continue
		}
		i++
		if document[i] != 'u' {
			if high {
				return errors.New("surrogate")
			}
			continue
		}
		var unit int
		_, _ = fmt.Sscanf(string(document[i+1:i+5]), "%04x", &unit)
		i += 4
		switch {
		case unit >= 0xD800 && unit < 0xDC00 && !high:
			high = true
		case unit >= 0xDC00 && unit < 0xE000 && high:
			high = false
		case high || (unit >= 0xD800 && unit < 0xE000):
			return errors.New("surrogate")
		}
	}
	return nil
}

// same fails if the scanner and encoding/json disagree about a document, whole or in pieces, with and without the rules.
func same(t *testing.T, document []byte, seed int64) {
	t.Helper()
	value, wrong := tree(document)
	for _, cuts := range []*rand.Rand{nil, rand.New(rand.NewSource(seed))} {
		if err := read(document, anything{}, cuts); (err == nil) != (wrong == nil) {
			t.Fatalf("scanner: %v; encoding/json: %v; document %q", err, wrong, document)
		}
		err := read(document, newPolicy(nil), cuts)
		if err != nil {
			var refusal forbidden
			if errors.As(err, &refusal) && wrong == nil && meaning(value.(map[string]any), zoneRequest) == nil {
				t.Fatalf("refused %v, but it may pass: %q", err, document)
			}
			continue
		}
		if wrong != nil {
			t.Fatalf("accepted, but encoding/json: %v; document %q", wrong, document)
		}
		if problem := meaning(value.(map[string]any), zoneRequest); problem != nil {
			t.Fatalf("accepted, but it means %v: %q", problem, document)
		}
	}
}

// meaning applies the rules to a parsed document: written apart from policy.go, for comparison.
func meaning(value any, zone int) error {
	switch value := value.(type) {
	case []any:
		for _, item := range value {
			if err := meaning(item, zone); err != nil {
				return err
			}
		}
	case map[string]any:
		for name, inner := range value {
			next := zoneContent
			if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" || name == "" {
				return errors.New("spelling")
			}
			if zone == zoneRequest {
				known, ok := parts[name]
				if !ok {
					return fmt.Errorf("part %s", name)
				}
				next = known
			} else {
				switch name {
				case "type":
					text, ok := inner.(string)
					if !ok || (zone == zoneTools && !clientTools[text]) || (zone == zoneContent && !contentTypes[text]) {
						return fmt.Errorf("type %v", inner)
					}
				case "input":
					if zone == zoneContent {
						next = zoneOpaque
					}
				case "input_schema", "input_examples", "thinking", "output_config", "output_format":
					next = zoneOpaque
				case "tools", "definition":
					next = zoneTools
				case "mcp_servers", "container", "container_id", "file_id", "file_ids", "files":
					return errors.New(name)
				}
				for _, word := range strings.Split(name, "_") {
					if word == "url" {
						return errors.New("url")
					}
				}
			}
			if next != zoneOpaque {
				if err := meaning(inner, next); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

const conversation = `{"model":"claude-sonnet-5","max_tokens":64000,"stream":true,"metadata":{"user_id":"{\"a\":\"b\"}"},
 "system":[{"type":"text","text":"You are \u00e9\ud83d\ude00 a \"tool\"","cache_control":{"type":"ephemeral","ttl":"1h"}}],
 "messages":[{"role":"user","content":"hello"},{"role":"assistant","content":[{"type":"thinking","thinking":"x","signature":"y"},
  {"type":"tool_use","id":"toolu_1","name":"Bash","input":{"type":"url","command":"ls","file_id":7,"A B\"":{"url":1}}}]},
 {"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1","content":[{"type":"image","source":{"type":"base64",
  "media_type":"image/png","data":"AAAA"}}],"is_error":false},{"type":"tool_addition","tool":{"type":"tool_definition",
  "definition":{"type":"text_editor_20250728","name":"e"}}},{"type":"document","source":{"type":"text","data":"1"}}]}],
 "tools":[{"name":"Bash","description":"d","input_schema":{"$schema":"x","type":"object","properties":{"url":{"type":"string"}}}},
  {"type":"text_editor_20250728","name":"e"}],"tool_choice":{"type":"auto"},"thinking":{"type":"adaptive"},"temperature":-1.5e+3,
 "context_management":{"edits":[{"type":"clear_thinking_20251015","keep":"all"}]},"output_config":{"effort":"high"}}`

func ok(name string, parts ...string) []byte {
	return []byte(`{"model":"m","messages":[{"role":"user","content":[` + strings.Join(parts, ",") + `]}]` + name + `}`)
}

func TestAConversationPasses(t *testing.T) {
	for seed := range int64(200) {
		if err := read([]byte(conversation), newPolicy(nil), rand.New(rand.NewSource(seed))); err != nil {
			t.Fatal(err)
		}
	}
	same(t, []byte(conversation), 1)
}

// Each with a word that permits it, "" if none does.
var refusedRequests = map[string]struct{ document, word string }{
	"web search":               {string(ok(`,"tools":[{"type":"web_search_20250305","name":"web_search"}]`)), "web_search"},
	"web search by its date":   {string(ok(`,"tools":[{"type":"web_search_20250305","name":"web_search"}]`)), "web_search_20250305"},
	"a newer web search":       {string(ok(`,"tools":[{"type":"web_search_20990101","name":"web_search"}]`)), "web_search"},
	"web fetch":                {string(ok(`,"tools":[{"type":"web_fetch_20250910","name":"web_fetch"}]`)), "web_fetch"},
	"code execution":           {string(ok(`,"tools":[{"type":"code_execution_20250825","name":"code_execution"}]`)), "code_execution"},
	"a toolset of MCP":         {string(ok(`,"tools":[{"type":"mcp_toolset","mcp_server_name":"x"}]`)), "mcp"},
	"an unknown tool":          {string(ok(`,"tools":[{"type":"telepathy_20270101","name":"t"}]`)), "telepathy"},
	"a newer bash":             {string(ok(`,"tools":[{"type":"bash_20990101","name":"bash"}]`)), "bash_20990101"},
	"a nested list of tools":   {string(ok(`,"tools":[[{"type":"web_search_20250305"}]]`)), "web_search"},
	"one tool without list":    {string(ok(`,"tools":{"type":"web_search_20250305"}`)), "web_search"},
	"the type comes late":      {string(ok(`,"tools":[{"name":"x","input_schema":{"type":"object"},"type":"web_search_20250305"}]`)), "web_search"},
	"MCP servers":              {string(ok(`,"mcp_servers":[{"type":"url","url":"https://evil.test/","name":"x"}]`)), "mcp"},
	"a container":              {string(ok(`,"container":"container_1"`)), "container"},
	"a new part":               {string(ok(`,"teleport":{"to":"evil.test"}`)), "teleport"},
	"an image by URL":          {string(ok("", `{"type":"image","source":{"type":"url","url":"https://evil.test/"}}`)), "url"},
	"an image by URL, no type": {string(ok("", `{"type":"image","source":{"url":"https://evil.test/"}}`)), "url"},
	"a document by URL":        {string(ok("", `{"type":"document","source":{"type":"url","url":"https://evil.test/"}}`)), "url"},
	"a URL in a tool's result": {string(ok("",
		`{"type":"tool_result","tool_use_id":"t","content":[{"type":"image","source":{"type":"url","url":"https://e.test"}}]}`)), "url"},
	"a file":               {string(ok("", `{"type":"document","source":{"type":"file","file_id":"file_1"}}`)), "file"},
	"a file, no type":      {string(ok("", `{"type":"document","source":{"file_id":"file_1"}}`)), "file"},
	"an upload":            {string(ok("", `{"type":"container_upload","file_id":"file_1"}`)), ""},
	"a URL in the system":  {`{"messages":[],"system":[{"type":"image","source":{"type":"url","url":"https://e.test"}}]}`, "url"},
	"a tool that is added": {string(ok("", `{"type":"tool_addition","tool":{"type":"tool_definition","definition":{"type":"web_fetch_20250910"}}}`)), "web_fetch"},
	"a tool of a fallback": {string(ok(`,"fallbacks":[{"model":"m","tools":[{"type":"web_search_20250305"}]}]`)), "web_search"},
	"a past web search":    {string(ok("", `{"type":"web_search_tool_result","tool_use_id":"t","content":[]}`)), "web_search"},
}

func TestServerSideToolsAndForeignContentNeedTheOperatorsWord(t *testing.T) {
	for name, each := range refusedRequests {
		err := read([]byte(each.document), newPolicy(nil), nil)
		var refusal forbidden
		if !errors.As(err, &refusal) {
			t.Errorf("%s: %v", name, err)
		}
		same(t, []byte(each.document), 1)
		if each.word == "" {
			continue
		}
		if err := read([]byte(each.document), newPolicy([]string{each.word}), nil); err != nil {
			t.Errorf("%s, with %s: %v", name, each.word, err)
		}
		if each.word != "url" {
			continue
		}
		if err := read([]byte(each.document), newPolicy([]string{"code_execution", "file", "container"}), nil); err == nil {
			t.Errorf("%s: passes with other words", name)
		}
	}
}

var twoWays = map[string]string{
	"a name twice":             `{"tools":[],"tools":[]}`,
	"twice, once escaped":      `{"messages":[{"input":{"a":1,"\u0061":2}}]}`,
	"an escape in a name":      `{"mcp\u005fservers":[]}`,
	"an escape in a type":      `{"tools":[{"type":"web\u005fsearch_20250305"}]}`,
	"an escaped harmless type": `{"tools":[{"type":"custo\u006d"}]}`,
	"upper case":               `{"Tools":[]}`,
	"upper case inside":        `{"tools":[{"Type":"web_search_20250305"}]}`,
	"a type that is a list":    `{"tools":[{"type":["web_search_20250305"]}]}`,
	"a type that is null":      `{"tools":[{"type":null}]}`,
	"a byte order mark":        "\xef\xbb\xbf{}",
	"UTF-16":                   "\xff\xfe{\x00}\x00",
	"UTF-16 without mark":      "{\x00}\x00",
	"bad UTF-8":                "{\"system\":\"\xff\"}",
	"overlong UTF-8":           "{\"system\":\"\xc0\xaf\"}",
	"a surrogate in UTF-8":     "{\"system\":\"\xed\xa0\x80\"}",
	"half a surrogate pair":    `{"system":"\ud800"}`,
	"the wrong half":           `{"system":"\udc00\ud800"}`,
	"a control character":      "{\"system\":\"\x01\"}",
	"text after the end":       `{} {}`,
	"a NUL after the end":      "{}\x00",
	"a comment":                `{/* */}`,
	"a comma too many":         `{"tools":[],}`,
	"a bracket too few":        `{"tools":[]`,
	"nothing":                  ``,
	"blanks":                   "  \n",
	"a list":                   `[{"tools":[]}]`,
	"NaN":                      `{"temperature":NaN}`,
	"a plus":                   `{"temperature":+1}`,
	"a leading zero":           `{"temperature":01}`,
	"single quotes":            `{'tools':[]}`,
	"too deep":                 `{"messages":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `}`,
	"a long name":              `{"metadata":{"` + strings.Repeat("n", maxName+1) + `":1}}`,
	"a long type":              `{"tools":[{"type":"` + strings.Repeat("n", maxType+1) + `"}]}`,
	"a long number":            `{"temperature":` + strings.Repeat("1", maxNumber+1) + `}`,
}

func TestWhatCanBeReadInTwoWaysIsRefused(t *testing.T) {
	for name, document := range twoWays {
		err := read([]byte(document), newPolicy(nil), nil)
		var refusal ambiguous
		if !errors.As(err, &refusal) {
			t.Errorf("%s: %v", name, err)
		}
		same(t, []byte(document), 1)
	}
}

func TestTheNumberOfNamesIsBounded(t *testing.T) {
	var many bytes.Buffer
	many.WriteString(`{"metadata":{"a":1`)
	for i := range maxNames {
		fmt.Fprintf(&many, `,"n%d":0`, i)
	}
	many.WriteString("}}")
	if err := read(many.Bytes(), newPolicy(nil), nil); err == nil {
		t.Fatal("accepted")
	}
	// Names of closed objects do not count.
	closed := []byte(`{"metadata":[` + strings.Repeat(`{"a":1,"b":2},`, maxNames) + `0]}`)
	if err := read(closed, newPolicy(nil), nil); err != nil {
		t.Fatal(err)
	}
}

var pool = []string{
	`{`, `}`, `[`, `]`, `,`, `:`, `"`, `\`, `\u005f`, `\ud83d\ude00`, `\ud800`, ` `, "\xc3", "\xa9", `é`, `0`, `-`, `1e`, `.5`, `null`,
	`"type":"url"`, `"type":"text"`, `"tools":[`, `"messages":`, `"input":{`, `"definition":{`, `"source":{`, `"url":"x"`, `,"a":1`,
	`"type":"web_search_20250305"`, `"mcp_servers":[]`, `"file_id":"x"`, "\x00", "\n", `"input_schema":`, `"Type"`,
}

// mutated changes a document in a few places.
func mutated(document []byte, random *rand.Rand) []byte {
	document = bytes.Clone(document)
	for range 1 + random.Intn(4) {
		at := random.Intn(len(document) + 1)
		switch random.Intn(4) {
		case 0:
			document = append(document[:at], document[min(len(document), at+1+random.Intn(6)):]...)
		case 1:
			document = append(document[:at], append([]byte(pool[random.Intn(len(pool))]), document[at:]...)...)
		case 2:
			if at < len(document) {
				document[at] = byte(random.Intn(256))
			}
		case 3: // a part of it again, at another place
			end := at + random.Intn(len(document)-at+1)
			part := bytes.Clone(document[at:end])
			to := random.Intn(len(document) + 1)
			document = append(document[:to], append(part, document[to:]...)...)
		}
	}
	return document
}

func documents() [][]byte {
	all := [][]byte{[]byte(conversation)}
	for _, each := range refusedRequests {
		all = append(all, []byte(each.document))
	}
	for _, document := range twoWays {
		if len(document) < 1000 {
			all = append(all, []byte(document))
		}
	}
	return all
}

func TestMutatedDocumentsMeanTheSameToEncodingJSON(t *testing.T) {
	random := rand.New(rand.NewSource(7))
	all := documents()
	for i := range 40_000 {
		same(t, mutated(all[i%len(all)], random), int64(i))
	}
}

// Limits of the corpus in the repository.
const maxCorpusInputs, maxCorpusBytes = 300, 200_000

// corpus yields documents that a run of FuzzScanner has found, and their seeds: the fewest that reach every block of the code as
// often (to a power of two) as all documents of the run. Each line of the file has a seed and a quoted document.
func corpus(tb testing.TB) iter.Seq2[[]byte, int64] {
	text, err := os.ReadFile("testdata/corpus.txt")
	if err != nil {
		tb.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	if len(lines) > maxCorpusInputs || len(text) > maxCorpusBytes {
		tb.Fatalf("the corpus has %d inputs and %d bytes", len(lines), len(text))
	}
	return func(yield func([]byte, int64) bool) {
		for number, line := range lines {
			first, quoted, _ := strings.Cut(line, " ")
			seed, err := strconv.ParseInt(first, 10, 64)
			document, other := strconv.Unquote(quoted)
			if err != nil || other != nil {
				tb.Fatalf("line %d of the corpus cannot be parsed", number+1)
			}
			if !yield([]byte(document), seed) {
				return
			}
		}
	}
}

func FuzzScanner(f *testing.F) {
	for i, document := range documents() {
		f.Add(document, int64(i))
	}
	for document, seed := range corpus(f) {
		f.Add(document, seed)
	}
	f.Fuzz(func(t *testing.T, document []byte, seed int64) { same(t, document, seed) })
}

func BenchmarkScanner(b *testing.B) {
	for name, unit := range map[string]string{
		"text": `{"type":"text","text":"` + strings.Repeat(`some more text with\n`, 1000) + `"},`, "base64": `{"type":"text","text":"` + strings.Repeat("AbCd", 5000) + `"},`,
		"dense": `[1,2,{"b":null}],`,
	} {
		document := []byte(`{"messages":[` + strings.Repeat(unit, (2<<20)/len(unit)) + `0]}`)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(document)))
			for b.Loop() {
				s := newScanner(newPolicy(nil), zoneRequest)
				for i := 0; i < len(document); i += pieceBytes {
					if err := s.write(document[i:min(len(document), i+pieceBytes)]); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
