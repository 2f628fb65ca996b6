package config

import (
	"strings"

	"github.com/sluicelog/sluice/outputs/cloudwatch"
)

// Options are the section as the output takes it.
func (c CloudWatch) Options() cloudwatch.Options {
	o := cloudwatch.Options{
		Region: c.Region, Group: c.Group, Stream: c.Stream,
		Endpoint: c.Endpoint, CAFile: c.CAFile, Profile: c.Profile,
		Format: c.Format, Oversize: c.Oversize, Gzip: c.Gzip, PlainSDK: c.PlainSDK,
		Keepalive: &c.Keepalive, Timeout: c.Timeout, ResponseTimeout: c.ResponseTimeout, IdleTimeout: c.IdleTimeout,
		Create: c.Create, Retention: c.Retention, Tags: c.Tags, KMSKey: c.KMSKey, Class: c.Class,
		PutsPerSecond: c.PutsPerSecond,
	}
	if r := c.AssumeRole; r != nil {
		o.AssumeRole = cloudwatch.AssumeRole{ARN: r.ARN, ExternalID: r.ExternalID, SessionName: r.SessionName}
	}
	if w := c.WebIdentity; w != nil {
		o.WebIdentity = cloudwatch.WebIdentity{RoleARN: w.RoleARN, TokenFile: w.TokenFile}
	}
	return o
}

// cloudwatch leaves it to the output what AWS would not take. What is missing is a fault already.
func (k *checker) cloudwatch(path string, c CloudWatch) {
	if c.Group == "" {
		return
	}
	for _, fault := range flatten(c.Options().Check()) {
		keys, text, _ := strings.Cut(fault.Error(), ": ")
		key, _, _ := strings.Cut(keys, ",")
		k.refuse(path+"."+key, "%s", text)
	}
}

// flatten takes joined errors apart.
func flatten(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	switch {
	case err == nil:
		return nil
	case !ok:
		return []error{err}
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, flatten(e)...)
	}
	return all
}
