package main

import "strings"

// A combination is what the gateways differ in.
type combination struct {
	scheduler string
	keepalive bool
}

// combinations are all that there are.
func combinations() []combination {
	var all []combination
	for _, scheduler := range []string{"sync", "keyed", "concurrent"} {
		for _, keepalive := range []bool{true, false} {
			all = append(all, combination{scheduler, keepalive})
		}
	}
	return all
}

// named are the combinations whose names contain the text.
func named(text string) []combination {
	var some []combination
	for _, c := range combinations() {
		if strings.Contains(c.String(), text) {
			some = append(some, c)
		}
	}
	return some
}

// ordered reports whether records of one log stream must arrive in order.
func (c combination) ordered() bool { return c.scheduler != "concurrent" }

// String names the combination, as in sync-keepalive and sync-reconnect.
func (c combination) String() string {
	if c.keepalive {
		return c.scheduler + "-keepalive"
	}
	return c.scheduler + "-reconnect"
}
