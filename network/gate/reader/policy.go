package main

// The rules for a request to the model: which tools and which content it may have. They refuse what would make Anthropic's servers
// fetch something, run something, or use something that did not come from here, unless the operator has named it.
//
// Sources: https://docs.anthropic.com/en/api/messages and the pages of its tools; the requests of Claude Code 2.1.197 and 2.1.332.

import (
	"fmt"
	"strings"
)

// Zones of a request.
const (
	zoneRequest = iota // the request itself
	zoneTools          // its tools, or a tool
	zoneContent        // messages, their content, and everything else that is not listed: checked at every depth
	zoneOpaque         // data that the API hands on as it is, such as a tool's input: only its JSON is checked
)

// The parts of a request that may be sent, with their zones. All others might make the server do something that this table does not
// know.
var parts = map[string]int{
	"model": zoneOpaque, "max_tokens": zoneOpaque, "metadata": zoneOpaque, "stop_sequences": zoneOpaque, "stream": zoneOpaque,
	"temperature": zoneOpaque, "top_k": zoneOpaque, "top_p": zoneOpaque, "tool_choice": zoneOpaque, "thinking": zoneOpaque,
	"service_tier": zoneOpaque, "context_management": zoneOpaque, "output_config": zoneOpaque, "output_format": zoneOpaque,
	"speed": zoneOpaque, "safeguards": zoneOpaque, "context_hint": zoneOpaque, "cache_control": zoneOpaque,
	"fallback_credit_token": zoneOpaque, "inference_geo": zoneOpaque, "diagnostics": zoneOpaque, "fallbacks": zoneContent,
	"messages": zoneContent, "system": zoneContent, "tools": zoneTools,
}

// Tools that the agent itself runs, and two that stay inside the API: the search among the tools of the request, and the second
// opinion of another model. A newer version of a tool is another tool.
var clientTools = set(
	"custom", "bash_20241022", "bash_20250124", "computer_20241022", "computer_20250124", "computer_20251124",
	"text_editor_20241022", "text_editor_20250124", "text_editor_20250429", "text_editor_20250728", "memory_20250818",
	"tool_search_tool_regex", "tool_search_tool_regex_20251119", "tool_search_tool_bm25", "tool_search_tool_bm25_20251119",
	"advisor_20260301",
)

// Values of `type` in content: the parts of messages, their sources, citations and cache marks. `url` and `file` are missing. So are
// the results of tools on the server: without the tool, only another conversation can have them.
var contentTypes = set(
	"text", "image", "document", "search_result", "thinking", "redacted_thinking", "tool_use", "tool_result", "tool_reference",
	"server_tool_use", "tool_search_tool_result", "tool_search_tool_search_result", "tool_search_tool_result_error",
	"advisor_tool_result", "advisor_result", "advisor_redacted_result", "advisor_tool_result_error",
	"compaction", "fallback", "mid_conv_system", "tool_addition", "tool_removal", "tool_definition",
	"base64", "content", "ephemeral", "direct", "approximate",
	"char_location", "page_location", "content_block_location", "search_result_location",
)

// The operator's words that stand for all types and parts whose name contains them.
var families = set("web_search", "web_fetch", "code_execution", "mcp", "container", "url", "file")

func set(words ...string) map[string]bool {
	table := make(map[string]bool, len(words))
	for _, word := range words {
		table[word] = true
	}
	return table
}

// selfTest is a type that the sandbox's own self-test uses (backend/selftest/probe.py). It is refused like all others, but not logged.
const selfTest = "codetainer_self_test"

// forbidden is the error for a request that asks for something that the operator has not permitted.
type forbidden struct{ what, word string }

func (e forbidden) Error() string { return e.what }

// reason is a short form for the log, "" for the self-test.
func (e forbidden) reason() string {
	if e.word == selfTest {
		return ""
	}
	short, _, _ := strings.Cut(e.what, ", ")
	return short
}

// policy has the operator's words.
type policy struct{ words map[string]bool }

func newPolicy(words []string) policy { return policy{set(words...)} }

// permits reports whether the operator has named a type or a part of a request: itself, without its date, or by its family.
func (p policy) permits(name string) bool {
	if p.words[name] || p.words[undated(name)] {
		return true
	}
	for family := range families {
		if p.words[family] && contains(name, family) {
			return true
		}
	}
	return false
}

// contains reports whether a name has a word between underscores.
func contains(name, word string) bool { return strings.Contains("_"+name+"_", "_"+word+"_") }

// undated returns a name without the date at its end: web_search_20250305 is a version of web_search.
func undated(name string) string {
	base, date, found := cutLast(name)
	if !found || len(date) != 8 || strings.Trim(date, "0123456789") != "" {
		return name
	}
	return base
}

func cutLast(name string) (before, after string, found bool) {
	if i := strings.LastIndexByte(name, '_'); i >= 0 {
		return name[:i], name[i+1:], true
	}
	return name, "", false
}

// word returns the operator's word that would permit a name.
func word(name string) string {
	for _, family := range []string{"web_search", "web_fetch", "code_execution", "mcp", "container", "url", "file"} {
		if contains(name, family) {
			return family
		}
	}
	return undated(name)
}

func (p policy) check(what, name string) error {
	if p.permits(name) {
		return nil
	}
	return forbidden{fmt.Sprintf(what, name), word(name)}
}

const (
	toolText    = "the tool %s, which runs outside the sandbox or is not known to it"
	contentText = "content of the type %s, which the sandbox cannot check"
	partText    = "%s in a request to the model"
)

func (p policy) name(zone int, name []byte, escaped bool) (int, bool, error) {
	if zone == zoneOpaque {
		return zoneOpaque, false, nil
	}
	// The API's own names. A server that ignores case or escapes could otherwise read another name.
	if escaped || !isPlain(name) {
		return 0, false, unclear("the name %q is not spelled in plain lower case", name)
	}
	text := string(name)
	if zone == zoneRequest {
		if inner, ok := parts[text]; ok {
			return inner, false, nil
		}
		return zoneOpaque, false, p.check(partText, text)
	}
	switch text {
	case "type":
		return zoneContent, true, nil
	case "tools", "definition": // of a fallback, and of a tool that is added during a conversation
		return zoneTools, false, nil
	case "input_schema", "input_examples", "thinking", "output_config", "output_format":
		return zoneOpaque, false, nil
	case "input": // of a call that the model has made
		if zone == zoneContent {
			return zoneOpaque, false, nil
		}
	case "mcp_servers", "container", "container_id", "file_id", "file_ids", "files":
		return zoneOpaque, false, p.check(partText, strings.TrimSuffix(text, "s"))
	}
	if contains(text, "url") && !p.permits("web_search") && !p.permits("web_fetch") { // their results contain addresses
		return zoneContent, false, p.check(partText, text)
	}
	return zoneContent, false, nil
}

func (p policy) value(zone int, _, value []byte) error {
	text := string(value)
	if zone == zoneTools {
		if clientTools[text] {
			return nil
		}
		return p.check(toolText, shown(text))
	}
	if contentTypes[text] {
		return nil
	}
	return p.check(contentText, shown(text))
}

// isPlain reports whether a name has only lower-case letters, digits and underscores, as all names of the API do.
func isPlain(name []byte) bool {
	for _, b := range name {
		if (b < 'a' || b > 'z') && (b < '0' || b > '9') && b != '_' {
			return false
		}
	}
	return len(name) > 0
}

// shown returns a value that can be put into a sentence and a log: it is text from the agent.
func shown(text string) string {
	if isPlain([]byte(text)) {
		return text
	}
	return fmt.Sprintf("%+q", text)
}
