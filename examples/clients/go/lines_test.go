package main

import (
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
)

// read is all lines, and what came after them other than the end of the text.
func read(l *lines) ([]string, error) {
	found := []string{}
	for {
		line, err := l.next()
		if err == io.EOF {
			return found, nil
		}
		if err != nil {
			return found, err
		}
		found = append(found, line)
	}
}

func TestLines(t *testing.T) {
	long := strings.Repeat("漢", 100_000) // 300,000 bytes: more than the reader holds
	for name, test := range map[string]struct {
		text string
		want []string
	}{
		"empty":                   {"", []string{}},
		"one":                     {"a\n", []string{"a"}},
		"no end":                  {"a\nb", []string{"a", "b"}},
		"empty lines":             {"\n\na\n\n", []string{"", "", "a", ""}},
		"CRLF":                    {"a\r\n\r\nb\r\n", []string{"a", "", "b"}},
		"one \\r of two":          {"a\r\r\n", []string{"a\r"}},
		"\\r inside":              {"a\rb\n", []string{"a\rb"}},
		"\\r without \\n":         {"a\r", []string{"a\r"}},
		"byte order mark":         {"\ufeffa\n\ufeffb\n", []string{"a", "\ufeffb"}},
		"two byte order marks":    {"\ufeff\ufeffa\n", []string{"\ufeffa"}},
		"only a byte order mark":  {"\ufeff", []string{}},
		"byte order mark and end": {"\ufeff\r\n", []string{""}},
		"other line ends":         {"a\u2028b\u2029c\u0085d\ve\ff\n", []string{"a\u2028b\u2029c\u0085d\ve\ff"}},
		"NUL":                     {"a\x00b\n", []string{"a\x00b"}},
		"long":                    {long + "\r\n" + long, []string{long, long}},
	} {
		for way, reader := range map[string]io.Reader{
			"whole":        strings.NewReader(test.text),
			"byte by byte": iotest.OneByteReader(strings.NewReader(test.text)),
		} {
			got, err := read(newLines(reader, 1<<20))
			if err != nil || !reflect.DeepEqual(got, test.want) {
				t.Errorf("%s, %s: %.80q, %v; want %.80q", name, way, got, err, test.want)
			}
		}
	}
}

func TestLinesThatAreNotUTF8(t *testing.T) {
	for _, bad := range []string{"\xff", "\xc3", "\xed\xa0\x80", "\xc0\x80", "\xf4\x90\x80\x80"} {
		got, err := read(newLines(strings.NewReader("a\nb"+bad+"\nc\n"), 100))
		if !reflect.DeepEqual(got, []string{"a"}) || err == nil || !strings.Contains(err.Error(), "line 2 is not UTF-8") {
			t.Errorf("%q: %q, %v", bad, got, err)
		}
	}
}

func TestLinesOverTheLimit(t *testing.T) {
	for _, size := range []int{10, 64<<10 - 1, 64 << 10, 200_000} {
		fits := strings.Repeat("x", size)
		for _, end := range []string{"", "\n", "\r\n"} {
			if got, err := read(newLines(strings.NewReader(fits+end), size)); err != nil || len(got) != 1 || got[0] != fits {
				t.Errorf("%d and %q: %v", size, end, err)
			}
			got, err := read(newLines(strings.NewReader("a\nx"+fits+end), size))
			if !errors.Is(err, errTooLong) || len(got) != 1 {
				t.Errorf("%d and one more and %q: %d lines, %v", size, end, len(got), err)
			}
		}
	}
}

func TestALineWithoutEndIsNotReadToItsEnd(t *testing.T) {
	endless := iotest.TimeoutReader(strings.NewReader(strings.Repeat("x", 1<<20))) // fails at the second read
	if _, err := newLines(endless, 1000).next(); !errors.Is(err, errTooLong) {
		t.Error(err)
	}
}

func TestTextThatCannotBeRead(t *testing.T) {
	broken := errors.New("broken")
	got, err := read(newLines(io.MultiReader(strings.NewReader("a\nb"), iotest.ErrReader(broken)), 100))
	if len(got) != 1 || !errors.Is(err, broken) {
		t.Errorf("%q, %v", got, err)
	}
}
