package cloudwatch

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
)

// A region is how to reach CloudWatch Logs in one region.
type region struct {
	name   string
	client *cloudwatchlogs.Client
	bucket *bucket
	clock  clock
}

// regions are those that were in use last: a template may make up any number.
type regions = lru[string, *region]

// maxRegions is more than AWS has.
const maxRegions = 64

func (o *Output) region(name string) *region {
	return o.regions.get(name, func() *region {
		r := &region{name: name, bucket: o.set.Quotas.bucket(account{o.payer(), name})}
		r.client = o.client(name, &r.clock)
		return r
	})
}

// client makes a client of the SDK that attempts once, and whose credentials and connections are the output's.
func (o *Output) client(name string, k *clock) *cloudwatchlogs.Client {
	config := o.login.config()
	config.Region = name
	return cloudwatchlogs.NewFromConfig(config, func(c *cloudwatchlogs.Options) {
		if o.set.Endpoint != "" {
			c.BaseEndpoint = aws.String(o.set.Endpoint)
		}
		c.Credentials = o.login
		c.HTTPClient = o.transport
		c.Retryer, c.RetryMaxAttempts = aws.NopRetryer{}, 0
		c.ClientLogMode = 0
		c.APIOptions = append(c.APIOptions, addSwapBody, k.addTo)
	})
}

// payer is whose quota the output uses.
func (o *Output) payer() payer { return payer{o.set.Endpoint, o.login.account} }
