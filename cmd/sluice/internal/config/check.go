package config

import (
	"fmt"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/token"

	"github.com/sluicelog/sluice/engine"
)

// A checker holds a config that was read to what its fields' tags cannot say. A path that has a fault already is not
// looked at again.
type checker struct {
	*decoder
	warnings Faults
}

// refuse notes what is wrong with a path.
func (k *checker) refuse(path, format string, args ...any) {
	if !k.broken[path] {
		k.fault(k.where(path), path, fmt.Sprintf(format, args...))
	}
}

// warn notes what is allowed and probably not meant.
func (k *checker) warn(path, format string, args ...any) {
	at := k.where(path)
	k.warnings = append(k.warnings, Fault{Line: at.Line, Col: at.Column, Path: path, Msg: fmt.Sprintf(format, args...)})
}

// given reports whether the file has the path.
func (k *checker) given(path string) bool { return k.values[path] != nil }

// where is the place of a path's value or, where the file does not have it, of the nearest thing around it.
func (k *checker) where(path string) *token.Position {
	for {
		if at := k.values[path]; at != nil {
			return at
		}
		if path == "" {
			return &token.Position{Line: 1, Column: 1}
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
}

// sections checks what must be known before the sections that are left out get their defaults: an output has that of its
// type and no other.
func (k *checker) sections(c *Config) {
	switch disk := c.Buffer.Disk != nil; {
	case disk && c.Buffer.Type != "disk" && !k.broken["buffer.type"]:
		k.fault(k.keys["buffer.disk"], "buffer.disk", "is not for a buffer of type "+c.Buffer.Type)
	case !disk && c.Buffer.Type == "disk" && !k.given("buffer.disk"):
		k.refuse("buffer.disk", "is missing; a buffer of type disk needs its path")
	}
	for i, o := range c.Outputs {
		if !slices.Contains([]string{"stdout", "file", "http", "cloudwatch", "null"}, o.Type) {
			continue // a fault already
		}
		for _, section := range []struct {
			name  string
			given bool
			needs string // the option that has no default
		}{
			{"stdout", o.Stdout != nil, ""},
			{"file", o.File != nil, "path"},
			{"http", o.HTTP != nil, "url"},
			{"cloudwatch", o.CloudWatch != nil, "group"},
			{"null", o.Null != nil, ""},
		} {
			path := outputPath(i, section.name)
			switch {
			case section.given && section.name != o.Type:
				k.fault(k.keys[path], path, "is not for an output of type "+o.Type)
			case !section.given && section.name == o.Type && section.needs != "" && !k.given(path):
				k.refuse(path, "is missing; an output of type %s needs its %s", o.Type, section.needs)
			}
		}
	}
}

// config checks the whole of it.
func (k *checker) config(c *Config, memory int64) {
	k.server(c.Server)
	k.limits(c, memory)
	k.disk(c)
	index := k.names(c)
	k.outputs(c)
	k.deadLetters(c, index)
	k.routes(c, index)
	k.shares(c, memory)
}

func outputPath(i int, key string) string { return "outputs[" + strconv.Itoa(i) + "]." + key }

func (k *checker) server(s Server) {
	listen := k.address("server.listen", s.Listen)
	if s.Admin != "" && k.address("server.admin", s.Admin) {
		if listen && s.Admin == s.Listen && !strings.HasSuffix(s.Listen, ":0") {
			k.refuse("server.admin", "is the address of server.listen")
		} else if !isLoopback(s.Admin) {
			k.warn("server.admin", "%s is reached from other machines: whoever asks is shown the outputs' errors and, by /debug/pprof, "+
				"what the process does, and may read, replay and drop dead letters where there is a store of them", s.Admin)
		}
	}
	if listen && s.TLS == nil && !isLoopback(s.Listen) {
		k.warn("server.listen", "%s is reached from other machines, and without server.tls all that comes is in plaintext",
			s.Listen)
	}
	if s.GRPC.ConnectionWindow < s.GRPC.StreamWindow {
		k.refuse("server.grpc.connection_window", "is less than stream_window, %s", s.GRPC.StreamWindow)
	}
}

// address reports whether a is an address to listen on.
func (k *checker) address(path, a string) bool {
	host, port, err := net.SplitHostPort(a)
	n, errPort := strconv.ParseUint(port, 10, 16)
	switch {
	case err != nil:
		k.refuse(path, "want host:port, such as 127.0.0.1:4317, [::1]:4317 or :4317 for all addresses")
	case errPort != nil || n > 65535:
		k.refuse(path, "the port is a number from 0 to 65535; 0 is any free one")
	case strings.ContainsAny(host, " /@"):
		k.refuse(path, "the host is a name or an IP address")
	default:
		return true
	}
	return false
}

func isLoopback(address string) bool {
	host, _, _ := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (k *checker) limits(c *Config, memory int64) {
	l := c.Limits
	if l.Stream.ResumeAt <= 0 || l.Stream.ResumeAt > 1 {
		k.refuse("limits.stream.resume_at", "must be over 0 and at most 1")
	}
	if l.Stream.Ceiling < l.Stream.Memory {
		k.refuse("limits.stream.ceiling", "is less than memory, %s", l.Stream.Memory)
	}
	resolved := c.EngineLimits(memory)
	if resolved.Stream > resolved.Engine {
		k.warn("limits.stream.memory", "is more than limits.engine.memory, %s, so no stream ever reaches it",
			Size(resolved.Engine))
	}
	if memory <= 0 {
		return
	}
	bound, available := Bound(resolved, int64(c.Server.GRPC.StreamWindow), c.ReadBack(resolved)), Available(memory)
	if held := resolved.Chunks() + resolved.Resources() + c.ReadBack(resolved); bound > available {
		k.warn("limits", "may take %s in all: %s at rest, %s for records and resources (%s x limits.engine.memory) and %s for "+
			"%d streams; %s of the memory limit of %s are for it", mib(bound), mib(atRest), mib(held),
			strconv.FormatFloat(math.Round(1000*float64(held)/float64(resolved.Engine))/1000, 'f', -1, 64),
			mib(bound-atRest-held), resolved.Streams, mib(available), mib(memory))
	}
}

func mib(bytes int64) string { return strconv.FormatInt(bytes>>20, 10) + " MiB" }

// names checks the outputs' names and gives the output of each.
func (k *checker) names(c *Config) map[string]int {
	most := engine.MaxOutputs
	if c.Buffer.Type == "disk" { // the store of dead letters is one
		most--
	}
	if len(c.Outputs) > most {
		at := "outputs[" + strconv.Itoa(most) + "]"
		k.refuse(at, "one output too many: there are %d, at most %d are possible", len(c.Outputs), most)
	}
	index := map[string]int{}
	for i, o := range c.Outputs {
		path := outputPath(i, "name")
		first, taken := index[o.Name]
		switch {
		case o.Name == "":
			continue // missing or of another kind: a fault already
		case taken:
			k.refuse(path, "%q is the name of the output in line %d already", o.Name, k.where(outputPath(first, "name")).Line)
			continue
		case !isName(o.Name):
			k.refuse(path, "%q: a name is up to 64 letters, digits, - and _", o.Name)
		case o.Name == NoDeadLetter || o.Name == StoreName && c.Buffer.Type == "disk":
			k.refuse(path, "%q has a meaning of its own as a dead_letter", o.Name)
		}
		index[o.Name] = i
	}
	return index
}

func isName(s string) bool {
	for _, c := range []byte(s) {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return len(s) <= 64
}

// deadLetters checks that they end somewhere. Of each circle it says one fault, at the output that closes it.
func (k *checker) deadLetters(c *Config, index map[string]int) {
	seen := make([]int, len(c.Outputs)) // the walk that came by, from 1
	for i := range c.Outputs {
		way := []string{}
		for j := i; seen[j] == 0; {
			seen[j] = i + 1
			o := c.Outputs[j]
			way = append(way, o.Name)
			if o.DeadLetter == "" || o.DeadLetter == NoDeadLetter || c.DeadLetterOf(o) == StoreName && c.Buffer.Type == "disk" {
				break
			}
			next, known := index[o.DeadLetter]
			path := outputPath(j, "dead_letter")
			if !known {
				k.refuse(path, "there is no output %q; %s", o.DeadLetter, suggest(o.DeadLetter, letterChoices(c, o, index)))
				break
			}
			if c.Outputs[next].Buffer.WhenFull == "drop_oldest" {
				k.refuse(path, "output %q drops its oldest records when it is full, and would drop dead letters", o.DeadLetter)
			}
			if at := slices.Index(way, o.DeadLetter); at >= 0 {
				k.refuse(path, "dead letters would go in a circle: %s", strings.Join(append(way[at:], o.DeadLetter), " -> "))
				break
			}
			j = next
		}
	}
}

// letterChoices are where the dead letters of an output may go: not to itself.
func letterChoices(c *Config, o Output, index map[string]int) []string {
	choices := slices.DeleteFunc(sortedNames(index), func(name string) bool { return name == o.Name })
	if c.Buffer.Type == "disk" {
		choices = append(choices, StoreName)
	}
	return append(choices, NoDeadLetter)
}

func sortedNames(index map[string]int) []string {
	names := make([]string, 0, len(index))
	for name := range index {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (k *checker) routes(c *Config, index map[string]int) {
	reached := map[string]bool{}
	for _, o := range c.Outputs {
		reached[o.DeadLetter] = true
	}
	for i, r := range c.Routes {
		path := "routes[" + strconv.Itoa(i) + "]"
		if r.Match != "" {
			if err := engine.CheckPattern(r.Match); err != nil {
				k.refuse(path+".match", "%v", err)
			}
		}
		for j, name := range r.Outputs {
			at := path + ".outputs[" + strconv.Itoa(j) + "]"
			_, known := index[name]
			switch {
			case name == "": // of another kind: a fault already
			case !known:
				k.refuse(at, "there is no output %q; %s", name, suggest(name, sortedNames(index)))
			case slices.Index(r.Outputs, name) < j:
				k.refuse(at, "%q is in this list already", name)
			}
			reached[name] = true
		}
	}
	if k.given("routes") && len(c.Routes) == 0 {
		k.refuse("routes", "must not be empty; left out, every stream goes to every output")
	}
	for i, o := range c.Outputs {
		if !reached[o.Name] && o.Name != "" {
			k.warn(outputPath(i, "name"), "no route leads to %q, and no output sends its dead letters there", o.Name)
		}
	}
}

// shares checks that outputs which take nothing more leave room for the others.
func (k *checker) shares(c *Config, memory int64) {
	whole, of := c.EngineLimits(memory).Engine, "limits.engine.memory"
	if d := c.Buffer.Disk; d != nil {
		whole, of = int64(d.Storage), "buffer.disk.storage"
	}
	sum := int64(0)
	for i, o := range c.Outputs {
		share := o.Buffer.Share.Of(whole)
		if share > whole {
			k.refuse(outputPath(i, "buffer.share"), "is more than %s, %s", of, Size(whole))
		}
		if o.Buffer.Share.IsZero() {
			share = whole / int64(len(c.Outputs)+1)
		}
		sum += share
	}
	if len(c.Outputs) > 1 && sum > whole {
		k.warn("outputs", "their shares of the buffer add up to %d%% of %s: outputs that are down can hold up the others",
			sum*100/whole, of)
	}
}
