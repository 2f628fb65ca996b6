package config

import "time"

// Format says how an output writes records.
type Format struct {
	Format         string `yaml:"format" default:"ndjson" enum:"ndjson,text" doc:"ndjson: one JSON object a line. text: the line of template."`
	Template       string `yaml:"template" doc:"Line of format text, such as {time} {severity} {body}. Left out: {body}."`
	EscapeNewlines bool   `yaml:"escape_newlines" default:"false" doc:"Format text: write newlines within a record as \\n."`
}

// Stdout are the options of an output that writes to standard output.
type Stdout struct {
	Format
}

// File are the options of an output that writes to files.
type File struct {
	Path    string `yaml:"path" required:"true" doc:"Path, with {tag}, {tenant}, {stream}, {resource.KEY} and {attr.KEY} where wanted: one file each."`
	Missing string `yaml:"missing" default:"unknown" doc:"Stands in the path for a value that a record does not have."`
	Format
	Rotate    Rotate        `yaml:"rotate" doc:"When a file is put aside and a new one begun."`
	Fsync     string        `yaml:"fsync" default:"never" enum:"never,batch" doc:"batch: before a batch counts as delivered. never: the system writes in its own time."`
	Rate      Size          `yaml:"rate" default:"0" doc:"Bytes a second at most, for trials. 0: no bound."`
	MaxOpen   int           `yaml:"max_open" default:"128" min:"1" doc:"How many files are kept open."`
	IdleClose time.Duration `yaml:"idle_close" default:"1m" min:"1ms" doc:"A file that was not written for so long is closed."`
	FileMode  Mode          `yaml:"file_mode" default:"0640" doc:"Permissions of files, octal."`
	DirMode   Mode          `yaml:"dir_mode" default:"0750" doc:"Permissions of directories that are made, octal."`
}

// Rotate says when a file is put aside, and for how long such files are kept.
type Rotate struct {
	Size    Size          `yaml:"size" default:"0" doc:"Before a write that would exceed this size. 0: never."`
	Age     time.Duration `yaml:"age" default:"0s" doc:"At the first write when it was made this long ago. 0: never."`
	Gzip    bool          `yaml:"gzip" default:"false" doc:"Compress what was put aside."`
	Keep    int           `yaml:"keep" default:"0" doc:"How many that were put aside are kept of each path. 0: all."`
	KeepFor time.Duration `yaml:"keep_for" default:"0s" doc:"For how long they are kept of a path that was written since the start. 0: for ever."`
}

// HTTP are the options of an output that posts to a web server.
type HTTP struct {
	URL         string            `yaml:"url" required:"true" secret:"true" doc:"Where to post to, http:// or https://. User and password in it become basic authentication. Only scheme and host are ever shown."`
	Format      string            `yaml:"format" default:"ndjson" enum:"ndjson,json" doc:"ndjson: one JSON object a line. json: an array of them."`
	Gzip        bool              `yaml:"gzip" default:"false" doc:"Compress requests."`
	Headers     map[string]string `yaml:"headers" secret:"true" doc:"Further headers of each request, each once. Their values are never shown."`
	Key         string            `yaml:"key" doc:"Template of what must stay in order, such as {stream}. Left out: everything, so that one request is in flight at a time."`
	MaxBody     Size              `yaml:"max_body" default:"5MiB" min:"1KiB" max:"1GiB" doc:"Size of a request before compression; what does not fit goes into the next."`
	Timeout     time.Duration     `yaml:"timeout" default:"30s" min:"1ms" doc:"Deadline of one request."`
	IdleTimeout time.Duration     `yaml:"idle_timeout" default:"30s" min:"1ms" doc:"A connection that is not used for so long is closed."`
	TLS         *ClientTLS        `yaml:"tls" doc:"For https://."`
}

// ClientTLS says whom a client trusts, and who it is.
type ClientTLS struct {
	CAFile             string `yaml:"ca_file" doc:"Path of the CAs, PEM, that the server must have a certificate of. Left out: the machine's."`
	CertFile           string `yaml:"cert_file" doc:"Path of the client's certificate chain, PEM."`
	KeyFile            string `yaml:"key_file" doc:"Path of the client's private key, PEM."`
	ServerName         string `yaml:"server_name" doc:"Name that the server's certificate must have. Left out: the host of the URL."`
	InsecureSkipVerify bool   `yaml:"insecure_skip_verify" default:"false" doc:"Take any certificate. For trials alone."`
}

// CloudWatch are the options of an output that puts records into AWS CloudWatch Logs.
type CloudWatch struct {
	Region string `yaml:"region" doc:"AWS region; a template. Left out: that of AWS_REGION or of the profile."`
	Group  string `yaml:"group" required:"true" doc:"Log group; a template such as /apps/{tag}. What AWS would not take in a name is replaced."`
	Stream string `yaml:"stream" default:"{tag}" doc:"Log stream; a template such as {resource.host.name}."`

	Endpoint    string       `yaml:"endpoint" doc:"URL to use instead of AWS's own. Left out: AWS_ENDPOINT_URL, or the region's."`
	CAFile      string       `yaml:"ca_file" doc:"Path of the CAs, PEM, that the endpoint must have a certificate of. Left out: AWS_CA_BUNDLE, or the machine's."`
	Profile     string       `yaml:"profile" doc:"Profile of the shared AWS configuration. Left out: AWS_PROFILE, or default."`
	AssumeRole  *AssumeRole  `yaml:"assume_role" doc:"A role to take on, with the credentials found."`
	WebIdentity *WebIdentity `yaml:"web_identity" doc:"A role to take on with a token. Left out: what AWS_WEB_IDENTITY_TOKEN_FILE says, as in EKS."`

	Format   string `yaml:"format" default:"body" enum:"body,json" doc:"body: the record's body. json: the whole record as a JSON object."`
	Oversize string `yaml:"oversize" default:"split" enum:"split,dead_letter" doc:"What becomes of a record over AWS's limit of 1 MiB: parts with markers, or a dead letter."`
	Gzip     bool   `yaml:"gzip" default:"false" doc:"Compress requests."`
	PlainSDK bool   `yaml:"plain_sdk" default:"false" doc:"Let the AWS SDK encode requests: slower, should our own encoding ever be wrong."`

	Keepalive       bool          `yaml:"keepalive" default:"true" doc:"Use connections again."`
	Timeout         time.Duration `yaml:"timeout" default:"30s" min:"1ms" doc:"Deadline of one request."`
	ResponseTimeout time.Duration `yaml:"response_timeout" default:"15s" min:"1ms" doc:"How long AWS may take to begin its answer."`
	IdleTimeout     time.Duration `yaml:"idle_timeout" default:"4s" min:"1ms" doc:"A connection that is not used for so long is closed; AWS closes it at 6 s."`

	Create    string            `yaml:"create" default:"all" enum:"all,streams,none" doc:"What is created where it is missing: groups and streams, streams, or nothing."`
	Retention int               `yaml:"retention" default:"0" doc:"Days that a group which sluice creates keeps its records, of AWS's list. 0: for ever."`
	Tags      map[string]string `yaml:"tags" doc:"Of groups that sluice creates."`
	KMSKey    string            `yaml:"kms_key" doc:"ARN of the key of groups that sluice creates."`
	Class     string            `yaml:"class" doc:"Class of groups that sluice creates, such as INFREQUENT_ACCESS. Left out: STANDARD."`

	PutsPerSecond float64 `yaml:"puts_per_second" default:"5000" doc:"Requests a second at most, for all outputs with the same credentials in a region: AWS's quota."`
}

// AssumeRole is a role to take on.
type AssumeRole struct {
	ARN         string `yaml:"arn" required:"true" doc:"ARN of the role."`
	ExternalID  string `yaml:"external_id" secret:"true" doc:"What the role's owner asks for."`
	SessionName string `yaml:"session_name" default:"sluice" doc:"What the role's owner sees in their logs."`
}

// WebIdentity is a role to take on with a token.
type WebIdentity struct {
	RoleARN   string `yaml:"role_arn" required:"true" doc:"ARN of the role."`
	TokenFile string `yaml:"token_file" required:"true" doc:"Path of the token."`
}

// Null are the options of an output that discards, for trials.
type Null struct {
	Delay       time.Duration `yaml:"delay" default:"0s" doc:"How long a write takes."`
	FailureRate float64       `yaml:"failure_rate" default:"0" max:"1" doc:"Part of the writes that fail, 0 to 1."`
	Seed        int           `yaml:"seed" default:"0" doc:"Of the failures: the same seed, the same failures."`
}
