//go:build !linux

package file

import "time"

// birth is when the file at a path was made; zero, as each system tells it another way.
func birth(string) time.Time { return time.Time{} }
