package main

// A push scanner for JSON. It gets a document in pieces of any size and accepts exactly the documents that every reader understands in
// the same way: UTF-8 without a byte order mark, one value and nothing after it, no name twice in an object, no unpaired surrogates.
// Its memory is bounded: it keeps only the names of open objects and the value of `type`. Sources: RFC 8259, RFC 7493 (I-JSON).

import (
	"encoding/binary"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	maxDepth  = 64
	maxName   = 256     // bytes of a name, decoded
	maxNumber = 64      // bytes of a number
	maxType   = 128     // bytes of a value that the rules see
	maxNames  = 20_000  // names of all open objects
	maxBytes  = 1 << 20 // bytes of these names
	fewNames  = 16      // up to this number in an object, a list is faster than a map
)

// ambiguous is the error for a document that is not JSON, or that can be read in more than one way.
type ambiguous struct{ reason string }

func (e ambiguous) Error() string { return e.reason }

func unclear(format string, values ...any) error { return ambiguous{fmt.Sprintf(format, values...)} }

// rules decide about a document while it is read. A zone is the rules' own number for the place of a value.
type rules interface {
	// name is called for each name of an object in a zone. It returns the zone of its value, and whether it wants the value: then the
	// value must be a string, and `value` gets it.
	name(zone int, name []byte, escaped bool) (inner int, wants bool, err error)
	value(zone int, name, value []byte) error
}

// The expected next token.
type state uint8

const (
	beforeValue state = iota // a value
	beforeItem               // a value or ]
	beforeName               // a name or }
	nextName                 // a name, after a comma
	afterName                // :
	afterValue               // , or the end of the container
	inString
	inEscape
	inHex
	inLowEscape // the backslash of a second surrogate
	inLowU      // its u
	inNumber
	inLiteral
	ended
)

type frame struct {
	object bool
	zone   int // of the container's own place
	inner  int // of the value that comes next
	wants  bool
	begin  int // where its names begin in scanner.names
	first  int // its first name in scanner.ends
	seen   map[string]struct{}
}

type scanner struct {
	rules  rules
	state  state
	frames []frame
	top    int // zone of the whole document

	// the current string
	isName  bool
	escaped bool
	kept    []byte // name, or wanted value
	keeps   bool
	hex     int    // digits left
	unit    uint16 // of the current \u escape
	high    uint16 // a surrogate that waits for its second half
	split   []byte // the beginning of a UTF-8 character at the end of a piece

	// the current number or literal
	number  numberState
	length  int
	literal string

	names []byte // decoded names of all open objects, in order
	ends  []int  // where each of them ends
	lastN []byte // the name of the current wanted value

	err error
}

func newScanner(rules rules, zone int) *scanner { return &scanner{rules: rules, top: zone} }

// write reads another piece. An error is final.
func (s *scanner) write(piece []byte) error {
	if s.err == nil {
		s.err = s.scan(piece)
	}
	return s.err
}

// end returns an error unless the document is complete.
func (s *scanner) end() error {
	if s.err == nil && s.state != ended {
		s.err = unclear("it ends too early")
	}
	return s.err
}

// plain has the bytes that need no attention in a string: ASCII except control characters, quote and backslash.
var plain = func() (table [256]bool) {
	for b := 0x20; b < utf8.RuneSelf; b++ {
		table[b] = b != '"' && b != '\\'
	}
	return table
}()

func (s *scanner) scan(piece []byte) error {
	for i := 0; i < len(piece); {
		if s.state == inString {
			next, err := s.inString(piece, i)
			if err != nil {
				return err
			}
			i = next
			continue
		}
		if s.state > inString && s.state <= inLowU {
			if err := s.escape(piece[i]); err != nil {
				return err
			}
			i++
			continue
		}
		if s.state == inNumber {
			more, err := s.number.next(piece[i])
			if err != nil {
				return err
			}
			if more {
				if s.length++; s.length > maxNumber {
					return unclear("a number is longer than %d characters", maxNumber)
				}
				i++
				continue
			}
			s.finished() // piece[i] comes after the number
			continue
		}
		b := piece[i]
		i++
		if s.state == inLiteral {
			if b != s.literal[s.length] {
				return unclear("a word is not true, false or null")
			}
			if s.length++; s.length == len(s.literal) {
				s.finished()
			}
			continue
		}
		if b == ' ' || b == '\n' || b == '\r' || b == '\t' {
			continue
		}
		if err := s.token(b); err != nil {
			return err
		}
	}
	return nil
}

func (s *scanner) token(b byte) error {
	switch s.state {
	case beforeItem:
		if b == ']' {
			return s.closed(false)
		}
		return s.begin(b)
	case beforeValue:
		return s.begin(b)
	case beforeName:
		if b == '}' {
			return s.closed(true)
		}
		fallthrough
	case nextName:
		if b != '"' {
			return unclear("an object has something other than a name in quotes")
		}
		s.beginString(true, true)
		return nil
	case afterName:
		if b != ':' {
			return unclear("a name has no value")
		}
		s.state = beforeValue
		return nil
	case afterValue:
		current := &s.frames[len(s.frames)-1]
		switch {
		case b == ',' && current.object:
			s.state = nextName
		case b == ',':
			s.state = beforeValue
		case b == '}' || b == ']':
			return s.closed(b == '}')
		default:
			return unclear("a comma or bracket is missing")
		}
		return nil
	}
	return unclear("there is text after its end")
}

// zone of the value that begins now, and whether the rules want it.
func (s *scanner) place() (int, bool) {
	if len(s.frames) == 0 {
		return s.top, false
	}
	current := &s.frames[len(s.frames)-1]
	return current.inner, current.wants
}

func (s *scanner) begin(b byte) error {
	zone, wants := s.place()
	if len(s.frames) == 0 && b != '{' {
		return unclear("it is not an object")
	}
	if wants && b != '"' {
		return unclear("the value of %s is not text", s.lastN)
	}
	switch {
	case b == '{' || b == '[':
		if len(s.frames) == maxDepth {
			return unclear("it is nested deeper than %d levels", maxDepth)
		}
		s.frames = append(s.frames, frame{object: b == '{', zone: zone, inner: zone, begin: len(s.names), first: len(s.ends)})
		s.state = beforeItem
		if b == '{' {
			s.state = beforeName
		}
	case b == '"':
		s.beginString(false, wants)
	case b == '-' || (b >= '0' && b <= '9'):
		s.number, s.length, s.state = firstOf(b), 1, inNumber
	case b == 't':
		s.literal, s.length, s.state = "true", 1, inLiteral
	case b == 'f':
		s.literal, s.length, s.state = "false", 1, inLiteral
	case b == 'n':
		s.literal, s.length, s.state = "null", 1, inLiteral
	default:
		return unclear("it is not JSON")
	}
	return nil
}

func (s *scanner) closed(object bool) error {
	current := &s.frames[len(s.frames)-1]
	if current.object != object {
		return unclear("a bracket closes the wrong container")
	}
	s.names = s.names[:current.begin]
	s.ends = s.ends[:current.first]
	s.frames = s.frames[:len(s.frames)-1]
	s.finished()
	return nil
}

// finished ends a value.
func (s *scanner) finished() {
	s.state = afterValue
	if len(s.frames) == 0 {
		s.state = ended
	}
}

func (s *scanner) beginString(name, keeps bool) {
	s.isName, s.keeps, s.escaped, s.state = name, keeps, false, inString
	s.kept = s.kept[:0]
}

// inString reads a string from piece[i]; returns the position after the part that it has read.
func (s *scanner) inString(piece []byte, i int) (int, error) {
	if len(s.split) > 0 {
		return s.joined(piece, i)
	}
	begin := i
	i = endOfPlain(piece, i)
	if s.keeps && i > begin {
		if err := s.keep(piece[begin:i]); err != nil {
			return 0, err
		}
	}
	if i == len(piece) {
		return i, nil
	}
	switch b := piece[i]; {
	case b == '"':
		return i + 1, s.endString()
	case b == '\\':
		s.escaped = true
		if i+1 < len(piece) && simple[piece[i+1]] != 0 {
			if s.keeps {
				return i + 2, s.keep([]byte{simple[piece[i+1]]})
			}
			return i + 2, nil
		}
		s.state = inEscape
		return i + 1, nil
	case b < 0x20:
		return 0, unclear("a string contains a control character")
	}
	begin = i
	for i < len(piece) && piece[i] >= utf8.RuneSelf {
		character, size := utf8.DecodeRune(piece[i:])
		if character == utf8.RuneError && size <= 1 {
			if !utf8.FullRune(piece[i:]) {
				s.split = append(s.split, piece[i:]...)
				return len(piece), s.keep(piece[begin:i])
			}
			return 0, unclear("it is not UTF-8")
		}
		i += size
	}
	return i, s.keep(piece[begin:i])
}

// endOfPlain returns the position of the first byte from piece[i] that needs attention: eight bytes at a time.
// Source: Bit Twiddling Hacks, "Determine if a word has a byte less than n".
func endOfPlain(piece []byte, i int) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for i+8 <= len(piece) {
		word := binary.LittleEndian.Uint64(piece[i:])
		quote, backslash := word^(ones*'"'), word^(ones*'\\')
		if (word|((word-ones*0x20)|(quote-ones)|(backslash-ones))&^word)&highs != 0 {
			break
		}
		i += 8
	}
	for i < len(piece) && plain[piece[i]] {
		i++
	}
	return i
}

// joined completes a character that began in an earlier piece.
func (s *scanner) joined(piece []byte, i int) (int, error) {
	for i < len(piece) {
		s.split = append(s.split, piece[i])
		i++
		if !utf8.FullRune(s.split) {
			continue
		}
		character, size := utf8.DecodeRune(s.split)
		if (character == utf8.RuneError && size <= 1) || size != len(s.split) {
			return 0, unclear("it is not UTF-8")
		}
		err := s.keep(s.split)
		s.split = s.split[:0]
		return i, err
	}
	return i, nil
}

var simple = [256]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

func (s *scanner) escape(b byte) error {
	switch s.state {
	case inEscape:
		if b == 'u' {
			s.hex, s.unit, s.state = 4, 0, inHex
			return nil
		}
		decoded := simple[b]
		if decoded == 0 {
			return unclear("a string contains an unknown escape")
		}
		s.state = inString
		return s.keep([]byte{decoded})
	case inLowEscape:
		if b != '\\' {
			return unclear("a string contains half of a surrogate pair")
		}
		s.state = inLowU
		return nil
	case inLowU:
		if b != 'u' {
			return unclear("a string contains half of a surrogate pair")
		}
		s.hex, s.unit, s.state = 4, 0, inHex
		return nil
	}
	digit, ok := hexDigit(b)
	if !ok {
		return unclear("a string contains an invalid \\u escape")
	}
	s.unit = s.unit<<4 | digit
	if s.hex--; s.hex > 0 {
		return nil
	}
	return s.unitRead()
}

func (s *scanner) unitRead() error {
	character := rune(s.unit)
	if s.high != 0 {
		character = utf16.DecodeRune(rune(s.high), rune(s.unit))
		if character == utf8.RuneError {
			return unclear("a string contains half of a surrogate pair")
		}
		s.high = 0
	} else if utf16.IsSurrogate(character) {
		if s.unit >= 0xDC00 {
			return unclear("a string contains half of a surrogate pair")
		}
		s.high, s.state = s.unit, inLowEscape
		return nil
	}
	s.state = inString
	return s.keep(utf8.AppendRune(nil, character))
}

func hexDigit(b byte) (uint16, bool) {
	switch {
	case b >= '0' && b <= '9':
		return uint16(b - '0'), true
	case b >= 'a' && b <= 'f':
		return uint16(b-'a') + 10, true
	case b >= 'A' && b <= 'F':
		return uint16(b-'A') + 10, true
	}
	return 0, false
}

func (s *scanner) keep(part []byte) error {
	if !s.keeps {
		return nil
	}
	most := maxType
	if s.isName {
		most = maxName
	}
	if len(s.kept)+len(part) > most {
		if s.isName {
			return unclear("a name is longer than %d bytes", maxName)
		}
		return unclear("the value of %s is longer than %d bytes", s.lastN, maxType)
	}
	s.kept = append(s.kept, part...)
	return nil
}

func (s *scanner) endString() error {
	if !s.isName {
		if s.keeps {
			current := &s.frames[len(s.frames)-1]
			if s.escaped {
				return unclear("the value of %s contains an escape", s.lastN)
			}
			if err := s.rules.value(current.zone, s.lastN, s.kept); err != nil {
				return err
			}
		}
		s.finished()
		return nil
	}
	current := &s.frames[len(s.frames)-1]
	if err := s.remember(current); err != nil {
		return err
	}
	inner, wants, err := s.rules.name(current.zone, s.kept, s.escaped)
	if err != nil {
		return err
	}
	current.inner, current.wants = inner, wants
	if wants {
		s.lastN = append(s.lastN[:0], s.kept...)
	}
	s.state = afterName
	return nil
}

// remember adds a name to an open object, or returns an error if the object already has it.
func (s *scanner) remember(current *frame) error {
	repeated := false
	if current.seen != nil {
		_, repeated = current.seen[string(s.kept)]
	} else {
		begin := current.begin
		for _, end := range s.ends[current.first:] {
			repeated = repeated || string(s.names[begin:end]) == string(s.kept)
			begin = end
		}
	}
	if repeated {
		return unclear("an object has the name %q twice", s.kept)
	}
	if len(s.ends) == maxNames || len(s.names)+len(s.kept) > maxBytes {
		return unclear("it has more than %d names", maxNames)
	}
	s.names = append(s.names, s.kept...)
	s.ends = append(s.ends, len(s.names))
	if current.seen != nil {
		current.seen[string(s.kept)] = struct{}{}
	} else if len(s.ends)-current.first > fewNames {
		current.seen = make(map[string]struct{}, 4*fewNames)
		begin := current.begin
		for _, end := range s.ends[current.first:] {
			current.seen[string(s.names[begin:end])] = struct{}{}
			begin = end
		}
	}
	return nil
}

// numberState is the part of a number that has been read: RFC 8259, section 6.
type numberState uint8

const (
	minus numberState = iota
	zero
	digits
	point
	fraction
	exponent
	sign
	power
)

func firstOf(b byte) numberState {
	switch b {
	case '-':
		return minus
	case '0':
		return zero
	}
	return digits
}

// next reads a character. It returns false if the number has ended before it.
func (n *numberState) next(b byte) (bool, error) {
	digit := b >= '0' && b <= '9'
	switch *n {
	case minus:
		if !digit {
			return false, unclear("it contains an invalid number")
		}
		*n = firstOf(b)
		return true, nil
	case zero, digits:
		switch {
		case digit && *n == digits:
			return true, nil
		case b == '.':
			*n = point
			return true, nil
		case b == 'e' || b == 'E':
			*n = exponent
			return true, nil
		}
		return false, nil
	case point:
		if !digit {
			return false, unclear("it contains an invalid number")
		}
		*n = fraction
		return true, nil
	case fraction:
		if b == 'e' || b == 'E' {
			*n = exponent
			return true, nil
		}
		return digit, nil
	case exponent:
		if b == '+' || b == '-' {
			*n = sign
			return true, nil
		}
		fallthrough
	case sign:
		if !digit {
			return false, unclear("it contains an invalid number")
		}
		*n = power
		return true, nil
	}
	return digit, nil
}
