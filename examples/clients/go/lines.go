package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

var (
	byteOrderMark  = []byte("\xef\xbb\xbf")
	carriageReturn = []byte("\r")

	errTooLong = errors.New("line is too long")
)

// lines reads UTF-8 text line by line, and holds no more of it than a line. (bufio.Scanner would end
// at lines of 64 KiB.)
type lines struct {
	reader *bufio.Reader
	limit  int
	number int // of the line that was read last
}

// newLines reads from text, in which no line may be longer than limit bytes.
func newLines(text io.Reader, limit int) *lines {
	return &lines{reader: bufio.NewReaderSize(text, 64<<10), limit: limit}
}

// next is the next line without its end, errTooLong, or io.EOF after the last. Only \n ends a line, and
// a \r before it goes with it.
func (l *lines) next() (string, error) {
	if l.number == 0 {
		if start, _ := l.reader.Peek(len(byteOrderMark)); bytes.Equal(start, byteOrderMark) {
			_, _ = l.reader.Discard(len(byteOrderMark))
		}
	}
	l.number++
	var line []byte
	for {
		part, err := l.reader.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil:
			return l.checked(bytes.TrimSuffix(line[:len(line)-1], carriageReturn))
		case err == io.EOF && len(line) > 0:
			return l.checked(line)
		case err == io.EOF:
			return "", io.EOF
		case err != bufio.ErrBufferFull:
			return "", fmt.Errorf("cannot read line %d: %w", l.number, err)
		case len(line) > l.limit+len(carriageReturn):
			return "", errTooLong // its end may be far away
		}
	}
}

func (l *lines) checked(line []byte) (string, error) {
	if len(line) > l.limit {
		return "", errTooLong
	}
	if !utf8.Valid(line) {
		return "", fmt.Errorf("line %d is not UTF-8; convert the text, or take the line out", l.number)
	}
	return string(line), nil
}
