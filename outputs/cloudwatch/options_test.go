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
	} {
		_, err := New(t.Context(), o)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
