// Package config reads sluice's config file and says everything that is wrong with it at once, each fault with its line
// and column.
package config

import (
	"reflect"
	"slices"
	"time"
)

// A Config is a whole config file. What a file leaves out has its default. Its tags are explained at field.
type Config struct {
	Server  Server   `yaml:"server" doc:"Where the gateway listens, and how."`
	Limits  Limits   `yaml:"limits" doc:"How much may be held before producers are paused."`
	Buffer  Buffer   `yaml:"buffer" doc:"Where records are held until every output is done with them."`
	Outputs []Output `yaml:"outputs" required:"true" doc:"Where records go. Each output has its own queue, so that none holds up another."`
	Routes  []Route  `yaml:"routes" doc:"Which streams go to which outputs. Left out: every stream to every output that is nobody's dead_letter."`
}

// Server is the gateway's front.
type Server struct {
	Listen        string        `yaml:"listen" default:"127.0.0.1:4317" doc:"Address of gRPC, host:port."`
	Admin         string        `yaml:"admin" default:"127.0.0.1:9317" doc:"Address of /metrics, /livez, /readyz and /debug/pprof, host:port. Empty: none."`
	ShutdownGrace time.Duration `yaml:"shutdown_grace" default:"20s" doc:"How long outputs may take for what is held when the gateway is told to stop."`
	TLS           *TLS          `yaml:"tls" doc:"Encrypts the gRPC port. Left out: plaintext."`
	GRPC          GRPC          `yaml:"grpc" doc:"Limits of connections."`
}

// TLS is a server's certificate.
type TLS struct {
	CertFile     string `yaml:"cert_file" required:"true" doc:"Path of the certificate chain, PEM."`
	KeyFile      string `yaml:"key_file" required:"true" doc:"Path of the private key, PEM."`
	ClientCAFile string `yaml:"client_ca_file" doc:"Path of the CAs, PEM, that clients must have a certificate of. Left out: they need none."`
}

// GRPC bounds what connections may do.
type GRPC struct {
	StreamWindow     Size          `yaml:"stream_window" default:"256KiB" min:"64KiB" max:"1GiB" doc:"What a stream may have sent and not been read yet. Part of the memory bound."`
	ConnectionWindow Size          `yaml:"connection_window" default:"1MiB" min:"64KiB" max:"1GiB" doc:"The same for all streams of a connection together; it is given back as bytes arrive."`
	MaxStreams       int           `yaml:"max_streams" min:"1" max:"1000000" doc:"Calls at a time on one connection. Left out: limits.streams."`
	MaxHeaders       Size          `yaml:"max_headers" default:"16KiB" min:"1KiB" max:"16MiB" doc:"Size of a call's headers."`
	HandshakeTimeout time.Duration `yaml:"handshake_timeout" default:"10s" min:"1ms" doc:"How long a new connection may take until it speaks HTTP/2."`
	Keepalive        Keepalive     `yaml:"keepalive" doc:"Finds peers that are gone, and keeps those at bay that ping too much."`
}

// Keepalive finds peers that are gone, and keeps those at bay that ping too much.
type Keepalive struct {
	Time     time.Duration `yaml:"time" default:"30s" min:"1s" doc:"A connection that is silent for so long is pinged."`
	Timeout  time.Duration `yaml:"timeout" default:"10s" min:"1ms" doc:"A ping that is not answered for so long ends the connection."`
	MinTime  time.Duration `yaml:"min_time" default:"10s" min:"1ms" doc:"A client that pings more often than this is cut off."`
	MaxIdle  time.Duration `yaml:"max_idle" default:"0s" doc:"A connection without calls for so long is closed. 0: never."`
	MaxAge   time.Duration `yaml:"max_age" default:"0s" doc:"A connection is told to go away after so long, to spread load anew. 0: never."`
	AgeGrace time.Duration `yaml:"age_grace" default:"0s" doc:"How long its calls may go on then. 0: for ever."`
}

// Limits bound what is held.
type Limits struct {
	Stream    StreamLimits `yaml:"stream" doc:"Of one stream."`
	Tenant    TenantLimits `yaml:"tenant" doc:"Of all streams of one tenant."`
	Engine    EngineLimits `yaml:"engine" doc:"Of all streams."`
	Streams   int          `yaml:"streams" min:"1" doc:"How many streams are known at a time, connected or not. Left out: as many as fit the memory limit, up to 10000."`
	MaxAppend Size         `yaml:"max_append" default:"1MiB" min:"1KiB" max:"64MiB" doc:"Size of one append, encoded."`
}

// StreamLimits bound one stream.
type StreamLimits struct {
	Memory   Size    `yaml:"memory" default:"8MiB" min:"1" doc:"A stream that holds as much is paused."`
	Storage  Portion `yaml:"storage" min:"1" doc:"Bytes, or a part of buffer.disk.storage: a stream that needs as much of it is paused. Left out: what is free of it is shared fairly."`
	ResumeAt float64 `yaml:"resume_at" default:"0.8" doc:"A paused stream resumes at or under this part of its limit: over 0, at most 1."`
	Ceiling  Size    `yaml:"ceiling" doc:"A stream that holds as much is read no more. Left out: 2 x memory."`
}

// TenantLimits bound one tenant.
type TenantLimits struct {
	Memory  Portion `yaml:"memory" default:"100%" min:"1" doc:"Bytes, or a part of limits.engine.memory."`
	Storage Portion `yaml:"storage" min:"1" doc:"Bytes, or a part of buffer.disk.storage. Left out: what is free of it is shared fairly."`
}

// EngineLimits bound everything.
type EngineLimits struct {
	Memory Portion `yaml:"memory" default:"25%" min:"1" doc:"Bytes, or a part of the memory limit that the process sees: its cgroup's, else the machine's."`
}

// Buffer is where records are held.
type Buffer struct {
	Type      string `yaml:"type" default:"memory" enum:"memory,disk" later:"jetstream" doc:"Kind of buffer. memory: an ack means delivered. disk: an ack means stored, and survives the process."`
	Gather    Gather `yaml:"gather" doc:"Small appends of a stream are gathered into chunks."`
	Disk      *Disk  `yaml:"disk" doc:"Options of type disk."`
	JetStream later  `yaml:"jetstream"`
}

// Disk are the options of a buffer on a disk.
type Disk struct {
	Path          string        `yaml:"path" required:"true" doc:"Directory of the buffer. One gateway has it at a time, and nobody else changes what is in it."`
	Storage       Size          `yaml:"storage" default:"10GiB" min:"1MiB" doc:"Room for records that outputs still need. When it is full, producers are paused."`
	Segment       Size          `yaml:"segment" default:"64MiB" min:"128KiB" max:"1GiB" doc:"Size of a file; at most an eighth of storage. Room is free again by files."`
	Fsync         string        `yaml:"fsync" default:"always" enum:"always,interval,never" doc:"always: an ack survives the machine. interval: what was acked within fsync_interval may be lost with the machine, not with the process. never: the system writes in its own time."`
	FsyncInterval time.Duration `yaml:"fsync_interval" default:"1s" min:"1ms" doc:"Between syncs, for interval."`
	Checkpoint    time.Duration `yaml:"checkpoint" default:"1s" min:"10ms" doc:"Between writings of what outputs are done with. What was delivered since the last one is delivered again after a crash."`
	Memory        Portion       `yaml:"memory" default:"25%" min:"1" doc:"Bytes, or a part of limits.engine.memory, of records that are stored and stay in memory until they are delivered."`
	ReadBack      Portion       `yaml:"read_back" default:"25%" min:"1" doc:"Bytes, or a part of limits.engine.memory, beside it, for what is read back; each output has an equal part."`
	StreamTTL     time.Duration `yaml:"stream_ttl" default:"24h" min:"1s" doc:"A stream that sent nothing for so long is forgotten at the next start: were it to send again what was stored, it would be stored twice."`
	DeadLetters   DeadLetters   `yaml:"dead_letters" doc:"The store of what outputs refuse for good, in the same directory."`
}

// DeadLetters are the options of the store of dead letters.
type DeadLetters struct {
	Storage Size `yaml:"storage" default:"1GiB" min:"1MiB" doc:"Room of the store. When it is full what is refused waits, and holds up its output's share of the buffer."`
}

// Gather makes chunks of small appends.
type Gather struct {
	Size  Size          `yaml:"size" default:"256KiB" min:"1KiB" max:"4MiB" doc:"A chunk of this size is full."`
	Delay time.Duration `yaml:"delay" default:"50ms" doc:"A chunk waits no longer than this, and not at all while an output is idle."`
}

// Output is one destination and how it is delivered to.
type Output struct {
	Name         string        `yaml:"name" required:"true" doc:"Names the output in routes, metrics and dead letters: letters, digits, - and _."`
	Type         string        `yaml:"type" required:"true" enum:"stdout,file,http,cloudwatch,null" later:"otlp,s3,kafka" doc:"Kind of destination; its options are in the section of the same name."`
	Scheduler    Scheduler     `yaml:"scheduler" doc:"What may fly at the same time."`
	Batch        Batch         `yaml:"batch" doc:"Size of one request. Left out: the output's own."`
	Retry        Retry         `yaml:"retry" doc:"Backoff with full jitter of what failed."`
	FlushTimeout time.Duration `yaml:"flush_timeout" default:"60s" min:"1ms" doc:"Deadline of one write."`
	ParkLimit    time.Duration `yaml:"park_limit" default:"10m" min:"1ms" doc:"How long a key that is denied access keeps its records before they become dead letters."`
	DeadLetter   string        `yaml:"dead_letter" doc:"Name of the output that takes what this one refuses for good, or none: it is dropped, and counted. Left out: with a disk buffer the store there, else none."`
	Buffer       Share         `yaml:"buffer" doc:"How much may wait for this output."`

	Stdout *Stdout `yaml:"stdout" doc:"Options of type stdout."`
	File   *File   `yaml:"file" doc:"Options of type file."`
	HTTP   *HTTP   `yaml:"http" doc:"Options of type http."`
	Null   *Null   `yaml:"null" doc:"Options of type null."`

	CloudWatch *CloudWatch `yaml:"cloudwatch" doc:"Options of type cloudwatch."`

	OTLP  later `yaml:"otlp"`
	S3    later `yaml:"s3"`
	Kafka later `yaml:"kafka"`
}

// Scheduler says what may fly at the same time.
type Scheduler struct {
	Type     string `yaml:"type" default:"keyed" enum:"keyed,sync,concurrent" doc:"keyed: in order per key, one batch of a key at a time. sync: one batch at a time. concurrent: any order."`
	InFlight int    `yaml:"in_flight" default:"16" min:"1" max:"10000" doc:"Batches in flight at most; 1 for sync."`
	Adaptive bool   `yaml:"adaptive" default:"false" doc:"Find how many of in_flight the destination bears, by its throttling and its latency."`
}

// Batch bounds one request; what is left out is the output's own.
type Batch struct {
	Linger     *time.Duration `yaml:"linger" doc:"How long a batch that is not full waits for more. Left out: the output's own."`
	MaxBytes   Size           `yaml:"max_bytes" min:"1" doc:"Bytes of records. Left out: the output's own."`
	MaxRecords int            `yaml:"max_records" min:"1" doc:"Records. Left out: the output's own."`
}

// Retry is a backoff with full jitter.
type Retry struct {
	Base        time.Duration `yaml:"base" default:"500ms" min:"1ms" doc:"Longest wait before the second attempt; it doubles with each further one."`
	Cap         time.Duration `yaml:"cap" default:"30s" min:"1ms" doc:"Longest wait of all."`
	GiveUpAfter time.Duration `yaml:"give_up_after" default:"0s" doc:"When a batch becomes dead letters, counted from its first attempt. 0: never."`
}

// Share is an output's part of the buffer.
type Share struct {
	Share    Portion `yaml:"share" min:"1" doc:"Bytes, or a part of limits.engine.memory, of buffer.disk.storage for a disk buffer. Left out: all for a single output, else 1/(outputs+1)."`
	Start    string  `yaml:"start" default:"newest" enum:"newest,oldest" doc:"Where an output begins that a disk buffer does not know yet: with what comes, or with the oldest record that its routes would have sent it."`
	WhenFull string  `yaml:"when_full" default:"block" enum:"block,drop_oldest" doc:"block: the streams that go to this output are paused. drop_oldest: it drops, counts, and takes no part in acks."`
}

// Route sends streams to outputs.
type Route struct {
	Match   string   `yaml:"match" required:"true" doc:"Pattern of tags: * is one part between dots, ** any number of them."`
	Outputs []string `yaml:"outputs" required:"true" doc:"Names of outputs. Every route that matches takes the stream."`
}

// Default is the config without a file: memory, and everything to stdout.
func Default() *Config {
	c := &Config{Outputs: make([]Output, 1)}
	setDefaults(reflect.ValueOf(c).Elem())
	setDefaults(reflect.ValueOf(&c.Outputs[0]).Elem())
	c.Outputs[0].Name, c.Outputs[0].Type = "stdout", "stdout"
	c.complete()
	return c
}

// complete fills in what depends on the rest of the file.
func (c *Config) complete() {
	if c.Limits.Stream.Ceiling == 0 {
		c.Limits.Stream.Ceiling = 2 * c.Limits.Stream.Memory
	}
	for i := range c.Outputs {
		c.Outputs[i].complete()
	}
	if c.Buffer.Type == "disk" && c.Buffer.Disk == nil { // a fault, but for what is to be checked of it
		c.Buffer.Disk = &Disk{}
		setDefaults(reflect.ValueOf(c.Buffer.Disk).Elem())
	}
	if c.Routes == nil {
		c.Routes = []Route{{Match: "**", Outputs: c.firstHand()}}
	}
}

// complete gives the output the section of its type where the file has none.
func (o *Output) complete() {
	v := reflect.ValueOf(o).Elem()
	f, known := fieldOf(fieldsOf(v.Type()), o.Type)
	if !known || f.isLater() || f.Type.Kind() != reflect.Pointer || !v.FieldByIndex(f.Index).IsNil() {
		return
	}
	section := reflect.New(f.Type.Elem())
	setDefaults(section.Elem())
	v.FieldByIndex(f.Index).Set(section)
}

// The words that stand for no output of the file as a dead_letter.
const (
	StoreName    = "dead-letters" // the store of the disk buffer
	NoDeadLetter = "none"
)

// DeadLetterOf names the output that takes what an output refuses for good. Empty: there is none.
func (c *Config) DeadLetterOf(o Output) string {
	switch {
	case o.DeadLetter == NoDeadLetter:
		return ""
	case o.DeadLetter == "" && c.Buffer.Type == "disk":
		return StoreName
	}
	return o.DeadLetter
}

// firstHand are the names of the outputs that no other output sends its dead letters to.
func (c *Config) firstHand() []string {
	second := map[string]bool{}
	for _, o := range c.Outputs {
		second[o.DeadLetter] = true
	}
	var names []string
	for _, o := range c.Outputs {
		if o.Name != "" && !second[o.Name] && !slices.Contains(names, o.Name) {
			names = append(names, o.Name)
		}
	}
	return names
}
