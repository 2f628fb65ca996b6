package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/sluicelog/sluice/outputs/cloudwatch/cwfake"
)

// keys is a credentials file of the AWS SDK with a profile for each gateway. It is safe for concurrent use.
type keys struct {
	path string

	mu       sync.Mutex // guards what follows, and the file
	profiles map[string]cwfake.Credentials
}

func newKeys(dir string) *keys {
	return &keys{path: filepath.Join(dir, "credentials"), profiles: map[string]cwfake.Credentials{}}
}

// set gives a profile its credentials. Whoever reads meanwhile sees the old file or the new one.
func (k *keys) set(profile string, c cwfake.Credentials) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.profiles[profile] = c
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(k.profiles)) {
		p := k.profiles[name]
		fmt.Fprintf(&text, "[%s]\naws_access_key_id = %s\naws_secret_access_key = %s\n", name, p.KeyID, p.Secret)
	}
	next := k.path + ".next"
	if err := os.WriteFile(next, []byte(text.String()), 0o600); err != nil {
		return err
	}
	return os.Rename(next, k.path)
}
