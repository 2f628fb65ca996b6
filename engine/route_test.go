package engine_test

import (
	"strings"
	"testing"

	"github.com/sluicelog/sluice/engine"
)

func TestMatches(t *testing.T) {
	tests := map[string]struct{ yes, no []string }{
		"shop.checkout":  {[]string{"shop.checkout"}, []string{"shop", "shop.checkout.eu", "Shop.checkout", "", "shop."}},
		"shop.*":         {[]string{"shop.a", "shop."}, []string{"shop", "shop.a.b", "shops.a"}},
		"*.checkout":     {[]string{"a.checkout"}, []string{"checkout", "a.b.checkout"}},
		"shop.**":        {[]string{"shop", "shop.a", "shop.a.b.c"}, []string{"shops", "a.shop"}},
		"**":             {[]string{"", "a", "a.b", "a..b"}, nil},
		"**.error":       {[]string{"error", "a.error", "a.b.error"}, []string{"error.a", "terror", "a.terror"}},
		"a.**.z":         {[]string{"a.z", "a.b.z", "a.z.z", "a.b.c.z"}, []string{"a", "z", "a.b", "a.z.b"}},
		"**.m.**":        {[]string{"m", "a.m", "m.a", "a.b.m.c.m"}, []string{"", "a", "mm"}},
		"*":              {[]string{"a", ""}, []string{"a.b"}},
		"*.**.*":         {[]string{"a.b", "a.b.c"}, []string{"a"}},
		"shop.[a-z]+.?.": {nil, []string{"shop.a.b."}},
	}
	for pattern, c := range tests {
		for _, tag := range c.yes {
			if !engine.Matches(pattern, tag) {
				t.Errorf("%q does not match %q", pattern, tag)
			}
		}
		for _, tag := range c.no {
			if engine.Matches(pattern, tag) {
				t.Errorf("%q matches %q", pattern, tag)
			}
		}
	}
}

// A tag is the client's, and may be long: no pattern that is let in takes long over it.
func TestMatchingIsBounded(t *testing.T) {
	tag := strings.Repeat("a.", 5000) + "b"
	if engine.Matches("**.a.a.a.**.z", tag) {
		t.Error("a match")
	}
}

func TestCheckPattern(t *testing.T) {
	for pattern, word := range map[string]string{
		"a.b": "", "**": "", "*.a.**": "", "**.a.**": "",
		"": "empty", "a..b": "empty", "a.": "empty", ".": "empty",
		"a*": `"a*"`, "a.***": `"***"`, "**.**.**": "two",
	} {
		err := engine.CheckPattern(pattern)
		if word == "" && err != nil || word != "" && (err == nil || !strings.Contains(err.Error(), word)) {
			t.Errorf("%q: %v, want %q", pattern, err, word)
		}
	}
}

// What the options get wrong is told by name, and nothing is left running or open.
func TestWiring(t *testing.T) {
	route := func(match string, outputs ...string) []engine.Route {
		return []engine.Route{{Match: match, Outputs: outputs}}
	}
	dead := func(name, to string) engine.OutputOptions {
		o := keyed(name, &closing{})
		o.DeadLetter = to
		return o
	}
	tests := map[string]struct {
		options engine.Options
		words   []string
	}{
		"no output":             {engine.Options{}, []string{"0 outputs"}},
		"one name twice":        {engine.Options{Outputs: []engine.OutputOptions{dead("a", ""), dead("a", "")}}, []string{`"a"`}},
		"route to nowhere":      {engine.Options{Outputs: []engine.OutputOptions{dead("a", "")}, Routes: route("x.**", "b")}, []string{`"x.**"`, `"b"`}},
		"a bad pattern":         {engine.Options{Outputs: []engine.OutputOptions{dead("a", "")}, Routes: route("x..y", "a")}, []string{`"x..y"`}},
		"dead letter to none":   {engine.Options{Outputs: []engine.OutputOptions{dead("a", "b")}}, []string{`"a"`, `"b"`}},
		"dead letter to itself": {engine.Options{Outputs: []engine.OutputOptions{dead("a", "a")}}, []string{`"a"`, "cycle"}},
		"a dead-letter cycle":   {engine.Options{Outputs: []engine.OutputOptions{dead("a", "b"), dead("b", "c"), dead("c", "b")}}, []string{"cycle"}},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := engine.New(c.options)
			if err == nil {
				t.Fatal("no error")
			}
			for _, word := range c.words {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("error %q does not say %s", err, word)
				}
			}
			for _, o := range c.options.Outputs {
				if n := o.Output.(*closing).closed; n != 1 {
					t.Errorf("output %q was closed %d times", o.Name, n)
				}
			}
		})
	}
}
