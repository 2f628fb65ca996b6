package cwfake

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ParseFaults reads faults of puts from words: NAME=SHARE, with commas between. The share is from 0 to 1, of all puts;
// by chance, the same for the same seed. Names are throttle, 500, 503, 502, empty, reset, reset-after, hang,
// hang-after, slow (1 ms a byte), truncated, throttle-cut, denied, and late:DURATION. NAME@GROUP=SHARE is for one group alone.
func ParseFaults(spec string, seed uint64) (Faults, error) {
	var faults []Faults
	var errs []error
	for word := range strings.SplitSeq(spec, ",") {
		if word = strings.TrimSpace(word); word == "" {
			continue
		}
		f, err := parseFault(word, seed+uint64(len(faults)))
		if err != nil {
			errs = append(errs, fmt.Errorf("fault %q: %w", word, err))
			continue
		}
		faults = append(faults, f)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return First(faults...), nil
}

// parseFault reads one NAME@GROUP=SHARE.
func parseFault(word string, seed uint64) (Faults, error) {
	what, share, ok := strings.Cut(word, "=")
	part, err := strconv.ParseFloat(share, 64)
	if !ok || err != nil || !(part >= 0 && part <= 1) {
		return nil, errors.New("it needs a share from 0 to 1, as in throttle=0.1")
	}
	name, group, some := strings.Cut(what, "@")
	fault, err := namedFault(name)
	if err != nil {
		return nil, err
	}
	match := All(Puts, Share(part, seed))
	if some {
		match = All(InGroup(group), match)
	}
	return On(match, fault), nil
}

// namedFault gives the fault with a name.
func namedFault(name string) (Fault, error) {
	named := map[string]Fault{
		"throttle": Throttle(), "500": InternalError(), "503": Unavailable(), "502": BadGateway(), "empty": EmptyOK(),
		"reset": ResetBefore(), "reset-after": ResetAfter(), "hang": HangBefore(), "hang-after": HangAfter(),
		"slow": SlowBody(time.Millisecond), "truncated": TruncatedBody(), "throttle-cut": Cut(Throttle()),
		"denied": Denied(),
	}
	if f, ok := named[name]; ok {
		return f, nil
	}
	if after, ok := strings.CutPrefix(name, "late:"); ok {
		d, err := time.ParseDuration(after)
		return Late(d), err
	}
	names := make([]string, 0, len(named)+1)
	for n := range named {
		names = append(names, n)
	}
	slices.Sort(names)
	return Fault{}, fmt.Errorf("no such fault; there are %s and late:DURATION", strings.Join(names, ", "))
}
