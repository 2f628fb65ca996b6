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

// Null are the options of an output that discards, for trials.
type Null struct {
	Delay       time.Duration `yaml:"delay" default:"0s" doc:"How long a write takes."`
	FailureRate float64       `yaml:"failure_rate" default:"0" max:"1" doc:"Part of the writes that fail, 0 to 1."`
	Seed        int           `yaml:"seed" default:"0" doc:"Of the failures: the same seed, the same failures."`
}
