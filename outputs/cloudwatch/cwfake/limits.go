package cwfake

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// The limits of PutLogEvents, from its page in the API reference and the quota page of CloudWatch Logs.
const (
	MaxBatchBytes  = 1_048_576                     // of all events in a put: their UTF-8, and EventOverhead each
	MaxBatchEvents = 10_000                        // in a put
	MaxBatchSpan   = 24 * time.Hour                // from the first to the last event that is in the window
	EventOverhead  = 26                            // bytes that each event counts on top of its UTF-8
	MaxEventBytes  = MaxBatchBytes - EventOverhead // of UTF-8 in one event; at least one
	MaxPast        = 14 * 24 * time.Hour           // older events are rejected, or those older than the group's retention
	MaxFuture      = 2 * time.Hour                 // events further ahead are rejected
)

// The limits of names and tags, from the API reference.
const (
	maxName     = 512
	maxTags     = 50
	maxTagKey   = 128
	maxTagValue = 256
)

// retentions are the days that PutRetentionPolicy takes.
func retentions() []int {
	return []int{1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}
}

// checkGroup checks a group's name: [._/#A-Za-z0-9-]{1,512}.
func checkGroup(name string) error {
	if name == "" {
		return invalidf("1 validation error detected: Value null at 'logGroupName' failed to satisfy constraint: " +
			"Member must not be null")
	}
	strange := strings.ContainsFunc(name, func(r rune) bool {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		return !letter && !strings.ContainsRune("._/#-", r)
	})
	if strange || len(name) > maxName {
		return invalidf("1 validation error detected: Value '%s' at 'logGroupName' failed to satisfy constraint: Member must "+
			`satisfy regular expression pattern: [\.\-_/#A-Za-z0-9]+ and have length of at most %d`, name, maxName)
	}
	return nil
}

// checkStream checks a stream's name: [^:*]{1,512}, counted in characters.
func checkStream(name string) error {
	if name == "" {
		return invalidf("1 validation error detected: Value null at 'logStreamName' failed to satisfy constraint: " +
			"Member must not be null")
	}
	if strings.ContainsAny(name, ":*") || utf8.RuneCountInString(name) > maxName {
		return invalidf("1 validation error detected: Value '%s' at 'logStreamName' failed to satisfy constraint: Member must "+
			`satisfy regular expression pattern: [^:*]* and have length of at most %d`, name, maxName)
	}
	return nil
}

// checkRetention checks that the days are of the documented list.
func checkRetention(days int) error {
	if !slices.Contains(retentions(), days) {
		return invalidf("1 validation error detected: Value '%d' at 'retentionInDays' failed to satisfy constraint: Member "+
			"must satisfy enum value set: %v", days, retentions())
	}
	return nil
}

// checkTags checks how many tags there are, and how long.
func checkTags(tags map[string]string) error {
	if len(tags) > maxTags {
		return invalid(codeTooManyTags, "A resource can have no more than 50 tags.")
	}
	for key, value := range tags {
		k, v := utf8.RuneCountInString(key), utf8.RuneCountInString(value)
		if k < 1 || k > maxTagKey || v > maxTagValue || strings.HasPrefix(key, "aws:") {
			return invalidf("1 validation error detected: the tag '%s' is out of its limits", key)
		}
	}
	return nil
}
