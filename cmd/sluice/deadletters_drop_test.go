package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluicelog/sluice/cmd/sluice/internal/config"
)

// IDs that are not there are told, once the others are done with, and are a failure.
func TestNoSuchIDs(t *testing.T) {
	bothWays(t, func(t *testing.T, do func(args ...string) (int, string, string)) {
		const one, more = "sluice: error: no dead letter has the ID 99\n", "sluice: error: no dead letters have the IDs 5, 99\n"
		for _, c := range []struct{ args, out, said string }{
			{"show 99", "", one},
			{"show 99 5 99", "", more},
			{"show --json 99", "", one},
			{"list 99", "", one},
			{"list --reason denied 99", "", one},
			{"drop 99", "", one},
			{"drop 5 2 99", "1 letter dropped\n", more},
			{"drop 2", "", "sluice: error: no dead letter has the ID 2\n"},
			{"show 5 6 7 8 9 10 11 12 13 14 15 16", "", "sluice: error: no dead letters have the IDs 5, 6, 7, 8, 9, 10, 11, 12, 13, 14 and 2 more\n"},
		} {
			if code, out, said := do(strings.Fields(c.args)...); code != exitFailure || out != c.out || said != c.said {
				t.Errorf("%s: exit %d, said %q, out %q", c.args, code, said, out)
			}
		}
		if code, out, said := do("show", "99", "3"); code != exitFailure || !strings.HasPrefix(out, "dead letter 3\n") || said != one {
			t.Errorf("show 99 3: exit %d, said %q, out %q", code, said, out)
		}
	})
}

// damageLetter changes a byte in the first letter of a store that is closed.
func damageLetter(t *testing.T, dir string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, config.StoreName, "*.seg"))
	if err != nil || len(names) == 0 {
		t.Fatalf("%s, %v", names, err)
	}
	content, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	content[8192+64+20] ^= 1
	if err := os.WriteFile(names[0], content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A letter that cannot be read is dropped with all others, or by its ID. A filter leaves it, and says how to be rid of it.
func TestDropDamagedLetters(t *testing.T) {
	for _, way := range []string{"online", "offline"} {
		for _, c := range []struct {
			args, out, said string
			code            int
		}{
			{"--all", "4 letters dropped, of which 1 could not be read\n", "", exitOK},
			{"1 2", "2 letters dropped, of which 1 could not be read\n", "", exitOK},
			{
				"--reason too_old", "1 letter dropped\n", "sluice: error: left 1 letter that cannot be read, as nobody can know whether " +
					"the filter chooses such; IDs without a filter, or --all, drop them:\n               dead letter 1 cannot be read: ", exitFailure,
			},
		} {
			t.Run(way+" "+c.args, func(t *testing.T) {
				dir := t.TempDir()
				if err := letterStore(t, dir, fourLetters()...).Close(); err != nil {
					t.Fatal(err)
				}
				damageLetter(t, dir)
				at := []string{"--dir", dir}
				if way == "online" {
					addr, _ := serveLetters(t, letterStore(t, dir), noReplay)
					at = []string{"--admin", addr}
				}
				code, out, said := command(t.Context(), nil, append(append([]string{"dead-letters", "drop"}, at...), strings.Fields(c.args)...)...)
				if i := strings.Index(said, "sluice: "); i > 0 {
					said = said[i:] // behind the log of the store
				}
				if code != c.code || out != c.out || !strings.HasPrefix(said, c.said) {
					t.Errorf("exit %d, out %q, said %q", code, out, said)
				}
			})
		}
	}
}

func TestDropLetters(t *testing.T) {
	bothWays(t, func(t *testing.T, do func(args ...string) (int, string, string)) {
		for _, c := range []struct {
			args string
			code int
			want string
		}{
			{"drop", exitUsage, "which? --all drops every dead letter"},
			{"drop --all --reason denied", exitUsage, "--all goes with no filter"},
			{"drop --all 3", exitUsage, "--all goes with no filter"},
			{"drop --reason denied", exitOK, "1 letter dropped\n"},
			{"drop --reason denied", exitOK, "no such dead letters\n"},
			{"drop --tag shop", exitOK, "no such dead letters\n"},
			{"drop --stream host-0 --reason too_old", exitOK, "1 letter dropped\n"},
			{"list", exitOK, "2 letters\n"},
			{"drop --all", exitOK, "2 letters dropped\n"},
			{"drop --all", exitOK, "no dead letters\n"},
			{"list", exitOK, "no dead letters\n"},
		} {
			code, out, said := do(strings.Fields(c.args)...)
			if code != c.code || !strings.Contains(out+said, c.want) {
				t.Errorf("%s: exit %d, said %q, out %q", c.args, code, said, out)
			}
		}
	})
}
