package main

import (
	"bytes"
	"encoding/json"
)

// object is a JSON object whose members keep the order in which they are added. (Those of a map would be
// sorted, and the names of tasks are known only when the program runs.)
type object struct {
	members bytes.Buffer
	err     error // of the first member that cannot be JSON, such as a number that is none
}

func (o *object) add(name string, value interface{}) {
	separator := byte(',')
	if o.members.Len() == 0 {
		separator = '{'
	}
	o.members.WriteByte(separator)
	o.write(name)
	o.members.WriteByte(':')
	o.write(value)
}

// write appends a value. A float32 becomes the shortest decimal that reads back as the same float32.
func (o *object) write(value interface{}) {
	encoder := json.NewEncoder(&o.members)
	encoder.SetEscapeHTML(false) // it is no HTML, and < > & are common in text
	if err := encoder.Encode(value); err != nil {
		if o.err == nil {
			o.err = err
		}
		return
	}
	o.members.Truncate(o.members.Len() - 1) // Encode ends with a newline
}

// encoded is the object, which has one member or more.
func (o *object) encoded() (string, error) {
	return o.members.String() + "}", o.err
}
