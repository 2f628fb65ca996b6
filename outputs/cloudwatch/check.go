package cloudwatch

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
)

func (o Options) checkChoices() error {
	var errs []error
	for _, choice := range []struct {
		key, value string
		of         []string
	}{
		{"format", o.Format, []string{FormatBody, FormatJSON}},
		{"oversize", o.Oversize, []string{OversizeSplit, OversizeDeadLetter}},
		{"create", o.Create, []string{CreateAll, CreateStreams, CreateNone}},
	} {
		if !slices.Contains(choice.of, choice.value) {
			errs = append(errs, fmt.Errorf("%s: %q is not one of %s", choice.key, choice.value, strings.Join(choice.of, ", ")))
		}
	}
	if o.Gzip && o.PlainSDK {
		errs = append(errs, errors.New("gzip: not along with plain_sdk"))
	}
	return errors.Join(errs...)
}

func (o Options) checkLogin() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if u, err := url.Parse(o.Endpoint); o.Endpoint != "" &&
		(err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil) {
		fault("endpoint: it is not a URL as in https://host:port")
	}
	for _, role := range []struct{ key, value string }{
		{"assume_role.arn", o.AssumeRole.ARN}, {"web_identity.role_arn", o.WebIdentity.RoleARN},
	} {
		if role.value != "" && !arn.IsARN(role.value) {
			fault("%s: %q is not an ARN", role.key, role.value)
		}
	}
	if o.AssumeRole.ARN == "" && (o.AssumeRole.ExternalID != "" || o.AssumeRole.SessionName != "") {
		fault("assume_role.arn: it must be given")
	}
	if (o.WebIdentity.RoleARN == "") != (o.WebIdentity.TokenFile == "") {
		fault("web_identity.role_arn, web_identity.token_file: the one needs the other")
	}
	return errors.Join(errs...)
}

func (o Options) checkBounds() error {
	var errs []error
	for _, bound := range []struct {
		key string
		n   float64
	}{
		{"timeout", float64(o.Timeout)}, {"response_timeout", float64(o.ResponseTimeout)},
		{"idle_timeout", float64(o.IdleTimeout)}, {"puts_per_second", o.PutsPerSecond},
	} {
		if !(bound.n >= 0) {
			errs = append(errs, fmt.Errorf("%s: it must not be negative", bound.key))
		}
	}
	return errors.Join(errs...)
}

// retentions are the days that a group may keep its events
// (https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html).
func retentions() []int {
	return []int{
		1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
	}
}

const (
	maxTags     = 50
	maxTagKey   = 128 // characters
	maxTagValue = 256
)

// classes are those of groups that take what is put: not the one that AWS itself delivers to.
func classes() []types.LogGroupClass {
	return slices.DeleteFunc(types.LogGroupClass("").Values(), func(c types.LogGroupClass) bool {
		return c == types.LogGroupClassDelivery
	})
}

// checkCreate checks what groups are created with.
func (o Options) checkCreate() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if o.Retention != 0 && !slices.Contains(retentions(), o.Retention) {
		fault("retention: %d is not one of %d", o.Retention, retentions())
	}
	if len(o.Tags) > maxTags {
		fault("tags: more than %d", maxTags)
	}
	for key, value := range o.Tags {
		if key == "" || len([]rune(key)) > maxTagKey || strings.HasPrefix(key, "aws:") {
			fault("tags: the key %q is empty, over %d characters, or AWS's own", key, maxTagKey)
		}
		if len([]rune(value)) > maxTagValue {
			fault("tags: the value of %q is over %d characters", key, maxTagValue)
		}
	}
	if o.KMSKey != "" && !arn.IsARN(o.KMSKey) {
		fault("kms_key: %q is not an ARN", o.KMSKey)
	}
	if o.Class != "" && !slices.Contains(classes(), types.LogGroupClass(o.Class)) {
		fault("class: %q is not one of %s", o.Class, classes())
	}
	if o.Create != CreateAll && (o.Retention != 0 || len(o.Tags) > 0 || o.KMSKey != "" || o.Class != "") {
		fault("create: retention, tags, kms_key and class are for groups that are created")
	}
	return errors.Join(errs...)
}
