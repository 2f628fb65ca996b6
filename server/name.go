package server

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// maxName is how many bytes a stream id or a tag may have. Both go into destinations' names, logs and metrics.
const maxName = 256

// checkTag says what is wrong with a producer's tag. Whether a route takes it, an empty one too, is the engine's to say.
func checkTag(tag string) error {
	if err := checkName(tag); err != nil {
		return err
	}
	if tag != "" && (tag[0] == '.' || tag[len(tag)-1] == '.' || strings.Contains(tag, "..")) {
		return errors.New("has an empty part: parts stand between single dots")
	}
	return nil
}

// checkName says what is wrong with a producer's stream id, or tag. An empty id is replaced by the engine.
func checkName(s string) error {
	if len(s) > maxName {
		return fmt.Errorf("%d bytes, more than %d", len(s), maxName)
	}
	if i := strings.IndexFunc(s, unicode.IsControl); i >= 0 {
		return fmt.Errorf("holds a control character at byte %d", i)
	}
	return nil
}
