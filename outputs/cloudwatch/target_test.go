package cloudwatch

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/enginetest"
)

func TestTargets(t *testing.T) {
	environment(t)
	t.Setenv("AWS_REGION", "us-west-2")
	c := &engine.Chunk{
		Stream:   &engine.Stream{Tenant: "default", Tag: "shop.checkout", ID: "s1"},
		Resource: enginetest.Resource("host.name", "web-1", "odd", "a:b*c\x00d\x7fé", "long", strings.Repeat("é", 300), "aws", "aws/lambda"),
	}
	r := engine.Record{Wire: enginetest.Record(1, "x", "region", "ap-south-1", "evil", "evil.com/#", "upper", "EU-West-1")}
	for _, x := range []struct {
		region, group, stream string
		want                  string
	}{
		{"eu-west-1", "/apps/{tag}", "{resource.host.name}", "eu-west-1:/apps/shop.checkout:web-1"},
		{"", "/apps", "s", "us-west-2:/apps:s"},
		{"{attr.region}", "/apps", "s", "ap-south-1:/apps:s"},
		{"{attr.none}", "/apps", "s", "us-west-2:/apps:s"},
		{"{attr.evil}", "/apps", "s", "evil-com--:/apps:s"},
		{"{attr.upper}", "/apps", "s", "----est-1:/apps:s"},
		{"r", "{resource.odd}", "{resource.odd}", "r:a_b_c_d__:a_b_c_d_é"},
		{"r", "{resource.none}", "{resource.none}", "r:unknown:unknown"},
		{"r", "{resource.aws}", "{resource.aws}", "r:aws_lambda:aws/lambda"},
		{"r", "x{resource.long}", "x{resource.long}", "r:x" + strings.Repeat("_", 300) + ":x" + strings.Repeat("é", 255)},
	} {
		o, err := New(t.Context(), Options{Region: x.region, Group: x.group, Stream: x.stream})
		if err != nil {
			t.Errorf("%+v: %v", x, err)
			continue
		}
		got := string(o.AppendKey([]byte("before"), c, r))
		if got != "before"+x.want {
			t.Errorf("%s, %s, %s: %s, want %s", x.region, x.group, x.stream, got, x.want)
		}
		if target, ok := parseKey(x.want); !ok || target.String() != x.want {
			t.Errorf("%s reads back as %+v", x.want, target)
		}
		if per := strings.Contains(x.region+x.group+x.stream, "{attr."); o.PerRecord(c) != per {
			t.Errorf("%+v: per record %v", x, !per)
		}
	}
	for _, key := range []string{"", "region", "region:group"} {
		if target, ok := parseKey(key); ok {
			t.Errorf("%q is the target %+v", key, target)
		}
	}
}

func FuzzTarget(f *testing.F) {
	for _, s := range []string{"", "plain", "a:b*c", "aws/x", "\xff\xfe", strings.Repeat("é", 300), strings.Repeat("x", 600)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		group := string(cleanGroup([]byte("k:"+s), 2)[2:])
		stream := string(cleanStream([]byte("k:"+s), 2)[2:])
		region := string(cleanRegion([]byte("k:"+s), 2)[2:])
		if strings.Trim(group, "._/#-ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789") != "" ||
			len(group) > maxName || strings.HasPrefix(group, "aws/") {
			t.Errorf("group %q of %q", group, s)
		}
		if strings.ContainsAny(stream, ":*\x00\n\x7f") || len(stream) > maxName || !utf8.ValidString(stream) {
			t.Errorf("stream %q of %q", stream, s)
		}
		if strings.Trim(region, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || len(region) > maxRegion {
			t.Errorf("region %q of %q", region, s)
		}
		if s != "" && (group == "" || stream == "" || region == "") {
			t.Errorf("%q becomes nothing", s)
		}
		if back, ok := parseKey(region + ":" + group + ":" + stream); !ok || back != (target{region, group, stream}) {
			t.Errorf("%q reads back as %+v", s, back)
		}
	})
}
