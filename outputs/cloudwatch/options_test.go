package cloudwatch

import (
	"encoding/pem"
	"net/http/httptest"
	"strings"
	"testing"
)

func pemOf(s *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}

func TestOptionsAreAllChecked(t *testing.T) {
	environment(t)
	_, err := New(t.Context(), Options{
		Region: "{", Group: "{nothing}", Stream: "}", Endpoint: "ftp://x", Profile: "none", CAFile: "/does/not/exist",
		AssumeRole: AssumeRole{ARN: "role"}, WebIdentity: WebIdentity{RoleARN: "x"}, Format: "xml", Oversize: "cut",
		Gzip: true, PlainSDK: true, Timeout: -1, ResponseTimeout: -1, IdleTimeout: -1, PutsPerSecond: -1,
		Create: "some", Retention: 2, Tags: map[string]string{"": "x"}, KMSKey: "key", Class: "BEST",
	})
	if err == nil {
		t.Fatal("all of it was taken")
	}
	for _, key := range []string{
		"region:", "group:", "stream:", "endpoint:", "profile", "ca_file:", "assume_role.arn:", "web_identity.role_arn", "format:",
		"oversize:", "gzip:", "timeout:", "response_timeout:", "idle_timeout:", "puts_per_second:", "create:", "retention:",
		"tags:", "kms_key:", "class:",
	} {
		if !strings.Contains(err.Error(), key) {
			t.Errorf("nothing about %s in: %v", key, err)
		}
	}
}

func TestOptionsByThemselves(t *testing.T) {
	environment(t)
	for want, o := range map[string]Options{
		"group: it must be given":  {Region: "r"},
		"region: it must be given": {Group: "g"},
		"is no region's name":      {Region: "EU West", Group: "g"},
		"assume_role.arn":          {Region: "r", Group: "g", AssumeRole: AssumeRole{ExternalID: "x"}},
		"web_identity.token_file":  {Region: "r", Group: "g", WebIdentity: WebIdentity{RoleARN: "arn:aws:iam::1:role/r"}},
		"create: retention":        {Region: "r", Group: "g", Create: CreateStreams, Retention: 7},
		"endpoint:":                {Region: "r", Group: "g", Endpoint: "https://user:secret@host"},
		"records without one":      {Region: "{resource.region}", Group: "g"},
		`"-" is no region's name`:  {Region: "-", Group: "g"},
		`"DELIVERY" is not one of`: {Region: "r", Group: "g", Class: "DELIVERY"},
	} {
		_, err := New(t.Context(), o)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// What the environment says is checked as what is given is, but for blanks around it.
func TestDefaultRegion(t *testing.T) {
	environment(t)
	for given, ok := range map[string]bool{" " + testRegion + "\n": true, "EU-West-1": false, "eu west 1": false, "{tag}": false} {
		t.Setenv("AWS_REGION", given)
		for _, region := range []string{"", "{resource.region}"} {
			o, err := New(t.Context(), Options{Region: region, Group: testGroup, Stream: testStream})
			if (err == nil) != ok || !ok && !strings.Contains(err.Error(), "AWS_REGION") {
				t.Errorf("AWS_REGION %q: %v", given, err)
				continue
			}
			if key := ""; ok {
				if key = bodies(o, "one").Key; key != testKey {
					t.Errorf("AWS_REGION %q: key %q", given, key)
				}
			}
		}
	}
}
