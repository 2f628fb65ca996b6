package config

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// What is for the disk buffer alone, or does not fit it, is told like all else.
func TestDiskFaults(t *testing.T) {
	const outputs = "\noutputs: [{name: screen, type: stdout}]\n"
	for text, want := range map[string]string{
		"buffer: {type: disk}":                                                                              "1:9: buffer.disk: is missing; a buffer of type disk needs its path",
		"buffer: {type: disk, disk: {}}":                                                                    "1:28: buffer.disk.path: is missing",
		"buffer: {disk: {path: x}}":                                                                         "1:10: buffer.disk: is not for a buffer of type memory",
		"limits: {stream: {storage: 1%}}":                                                                   "1:28: limits.stream.storage: is for a buffer of type disk",
		"limits: {tenant: {storage: 1%}}":                                                                   "1:28: limits.tenant.storage: is for a buffer of type disk",
		"buffer: {type: disk, disk: {path: x, storage: 16MiB}}":                                             "1:47: buffer.disk.storage: must be at least 32MiB: a file is an eighth of storage at most, and has room for 4 appends of limits.max_append, or chunks of buffer.gather.size",
		"buffer: {type: disk, disk: {path: x, segment: 2MiB}}":                                              "1:47: buffer.disk.segment: must be at least 4MiB: a file is an eighth of storage at most, and has room for 4 appends of limits.max_append, or chunks of buffer.gather.size",
		"limits: {stream: {storage: 11GiB}}\nbuffer: {type: disk, disk: {path: x}}":                         "1:28: limits.stream.storage: is more than buffer.disk.storage, 10GiB",
		"buffer: {type: disk, disk: {path: x}}\noutputs: [{name: dead-letters, type: stdout}]":              `2:18: outputs[0].name: "dead-letters" has a meaning of its own as a dead_letter`,
		"outputs: [{name: none, type: stdout}]":                                                             `1:18: outputs[0].name: "none" has a meaning of its own as a dead_letter`,
		"outputs: [{name: a, type: stdout, buffer: {start: oldest}}]":                                       "1:51: outputs[0].buffer.start: is for a buffer of type disk",
		"outputs: [{name: a, type: stdout, dead_letter: dead-letters}]":                                     `1:48: outputs[0].dead_letter: there is no output "dead-letters"; known here: none`,
		"buffer: {type: disk, disk: {path: x}}\noutputs: [{name: a, type: stdout, buffer: {share: 11GiB}}]": "2:51: outputs[0].buffer.share: is more than buffer.disk.storage, 10GiB",
	} {
		if !strings.Contains(text, "outputs:") {
			text += outputs
		}
		_, _, err := Parse("f", []byte(text), emptyEnvironment())
		if err == nil || err.Error() != "f:"+want {
			t.Errorf("%s\n got %v\nwant f:%s", text, err, want)
		}
	}
}

// What outputs refuse for good goes to the disk buffer's store, unless the file says otherwise.
// A fault on a dead_letter offers what may be written there: other outputs, none, and the store where there is one.
func TestDeadLetterChoices(t *testing.T) {
	const outputs = "outputs: [{name: a, type: stdout}, {name: b, type: 'null', dead_letter: %s}]\n"
	const at, disk = "outputs[1].dead_letter: there is no output ", "buffer: {type: disk, disk: {path: x}}\n"
	for text, want := range map[string]string{
		fmt.Sprintf(outputs, "elsewhere"):           at + `"elsewhere"; known here: a, none`,
		fmt.Sprintf(outputs, "bb"):                  at + `"bb"; known here: a, none`,
		fmt.Sprintf(outputs, "nonne"):               at + `"nonne"; did you mean "none"?`,
		disk + fmt.Sprintf(outputs, "elsewhere"):    at + `"elsewhere"; known here: a, dead-letters, none`,
		disk + fmt.Sprintf(outputs, "dead_letters"): at + `"dead_letters"; did you mean "dead-letters"?`,
	} {
		if _, _, err := Parse("f", []byte(text), emptyEnvironment()); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s\n got %v\nwant %s", text, err, want)
		}
	}
}

func TestDeadLetterOf(t *testing.T) {
	const outputs = "outputs: [{name: a, type: stdout}, {name: b, type: stdout, dead_letter: none}, {name: c, type: stdout, dead_letter: a}]\n"
	for buffer, want := range map[string][]string{
		"": {"", "", "a"},
		"buffer: {type: disk, disk: {path: x}}\n": {StoreName, "", "a"},
	} {
		c, _, err := Parse("f", []byte(buffer+outputs), emptyEnvironment())
		if err != nil {
			t.Fatal(err)
		}
		for i, o := range c.Outputs {
			if got := c.DeadLetterOf(o); got != want[i] {
				t.Errorf("%q: output %s: %q, want %q", buffer, o.Name, got, want[i])
			}
		}
	}
}

// A disk without room for what may come is warned of, with what there is; one that nobody can tell of is not.
func TestDiskSpace(t *testing.T) {
	const gib = 1 << 30
	text := []byte("buffer: {type: disk, disk: {path: /var/lib/sluice, storage: 10GiB}}\noutputs: [{name: a, type: stdout}]\n")
	for name, c := range map[string]struct {
		Space
		err  error
		want string
	}{
		"room for all":             {Space: Space{Free: 11 * gib}},
		"a part of it is in use":   {Space: Space{Free: 3 * gib, Used: 8 * gib}},
		"not for the dead letters": {Space: Space{Free: 11*gib - 1}, want: "10GiB, and 1GiB of dead_letters.storage, are more than the file system of /var/lib/sluice has"},
		"3 GiB free": {Space: Space{Free: 3 * gib, Used: gib / 2}, want: "has for them: 3584 MiB, of which 3072 MiB are free and 512 MiB in the " +
			"directory already"},
		"nobody knows": {err: errors.New("permission denied")},
	} {
		environment := emptyEnvironment()
		environment.Space = func(dir string) (Space, error) {
			if dir != "/var/lib/sluice" {
				t.Errorf("asked of %s", dir)
			}
			return c.Space, c.err
		}
		_, warnings, err := Parse("f", text, environment)
		switch {
		case err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want == "" && len(warnings) > 0, c.want != "" && (len(warnings) != 1 || warnings[0].Line != 1 ||
			warnings[0].Path != "buffer.disk.storage" || !strings.Contains(warnings[0].Msg, c.want)):
			t.Errorf("%s: warned %v", name, warnings)
		}
	}
}
