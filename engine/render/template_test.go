package render

import (
	"strings"
	"testing"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/enginetest"
)

func TestTemplate(t *testing.T) {
	c := chunkOf(cat(enginetest.Resource("host.name", "web-1", "empty", ""), pair(1, "n", varint(3, 42))))
	r := engine.Record{Wire: cat(enginetest.Record(1, "hello", "k.with.dots", "v", "k", "first", "k", "second"), pair(6, "list", sub(5)))}
	for _, x := range []struct {
		template, want string
		perRecord      bool
	}{
		{"", "", false},
		{"plain", "plain", false},
		{"{tag}", "shop.checkout", false},
		{"{tenant}/{stream}", "default/s1", false},
		{"/apps/{tag}/x", "/apps/shop.checkout/x", false},
		{"{resource.host.name}", "web-1", false},
		{"{resource.n}", "42", false},
		{"{resource.none}-{resource.empty}", "unknown-unknown", false},
		{"{attr.k.with.dots}", "v", true},
		{"{attr.k}{attr.none}{attr.list}", "firstunknown[]", true},
		{"{{tag}} {{{tag}}}", "{tag} {shop.checkout}", false},
		{"ü{tag}ü", "üshop.checkoutü", false},
	} {
		tmpl, err := ParseTemplate(x.template)
		if err != nil {
			t.Errorf("%q: %v", x.template, err)
			continue
		}
		if got := string(tmpl.Append([]byte(">"), c, r)); got != ">"+x.want || tmpl.PerRecord() != x.perRecord {
			t.Errorf("%q: %q, per record %v", x.template, got, tmpl.PerRecord())
		}
	}
}

func TestTemplateFaultsSayWhere(t *testing.T) {
	for template, want := range map[string]string{
		"{":               "position 1",
		"abc{tag":         "position 4",
		"üü}":             "position 3",
		"{tag}}":          "position 6",
		"{}":              `"{}" is not one of`,
		"a{Tag}":          "position 2",
		"{resource.}":     "position 1",
		"{attr.}":         "position 1",
		"{tag}{unknown}":  "position 6",
		"{body}":          `"{body}" is not one of`,
		"{{{tag":          "position 3",
		"{resource.a{b}}": "position 15",
	} {
		_, err := ParseTemplate(template)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", template, err, want)
		}
	}
}

func TestTemplateOfItsOwn(t *testing.T) {
	tmpl, err := ParseTemplate("a/b{tag}{attr.x}")
	if err != nil {
		t.Fatal(err)
	}
	tmpl.Missing = "n/a"
	tmpl.Clean = func(dst []byte, from int) []byte {
		return append(dst[:from], strings.ReplaceAll(string(dst[from:]), "/", "_")...)
	}
	c := &engine.Chunk{Stream: &engine.Stream{Tag: "x/y"}}
	if got := string(tmpl.Append(nil, c, engine.Record{})); got != "a/bx_yn_a" {
		t.Errorf("%q", got)
	}
}

func TestText(t *testing.T) {
	records := [][]byte{
		enginetest.Record(1, "two\nlines\\", "user", "me"), nil, body(varint(3, 5)), body(sub(6, pair(1, "a", str(1, "b\n")))),
	}
	for _, x := range []struct {
		o    Options
		want string
	}{
		{Options{}, "two\nlines\\\n\n5\n{\"a\":\"b\\n\"}\n"},
		{Options{EscapeNewlines: true}, `two\nlines\\` + "\n\n5\n" + `{"a":"b\\n"}` + "\n"},
		{Options{Template: "{sequence} {severity} [{attr.user}] {stream} {body}"},
			"7 INFO [me] s1 two\nlines\\\n8  [] s1 \n9  [] s1 5\n10  [] s1 {\"a\":\"b\\n\"}\n"},
		{Options{Template: "{time}"},
			"2026-01-01T00:00:00.001Z\n" + strings.Repeat("2026-01-02T02:04:05.000000006Z\n", 3)},
	} {
		x.o.Format = FormatText
		if got := renderAll(t, renderer(t, x.o), batchOf(nil, chunkOf(nil, records...))); got != x.want {
			t.Errorf("%+v:\n got %q\nwant %q", x.o, got, x.want)
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for want, o := range map[string]Options{
		"format:":          {Format: "xml"},
		"template:":        {Template: "{body}"},
		"escape_newlines:": {EscapeNewlines: true},
		"position 1":       {Format: FormatText, Template: "{nothing}"},
	} {
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %s", o, err, want)
		}
	}
}

func FuzzTemplate(f *testing.F) {
	for _, s := range []string{"", "{tag}", "{{", "}}", "{resource.a.b}/{attr.c}", "{", "}"} {
		f.Add(s)
	}
	c := chunkOf(nil)
	f.Fuzz(func(t *testing.T, s string) {
		if tmpl, err := ParseTemplate(s); err == nil {
			tmpl.Append(nil, c, engine.Record{})
		}
		if !strings.ContainsAny(s, "{}") {
			if tmpl, err := ParseTemplate(s); err != nil || string(tmpl.Append(nil, c, engine.Record{})) != s {
				t.Errorf("%q is literal: %v", s, err)
			}
		}
	})
}
