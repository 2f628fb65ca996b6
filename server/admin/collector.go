package admin

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/server"
)

// Sources are asked for what metrics and probes show, from any goroutine.
type Sources struct {
	Engine func() engine.Stats
	Server func() server.Stats // nil: there is none
	// Letters are of the store of dead letters; nil: there is none.
	Letters func() engine.LetterStats
}

// A collector reads the sources once a scrape.
type collector struct {
	sources Sources

	held, limit, ceiling, tenantHeld          *prometheus.Desc
	streams, sessions, paused, draining       *prometheus.Desc
	records, recordBytes, acked, repeated     *prometheus.Desc
	skipped, rejected, refused                *prometheus.Desc
	pauses, pausedSeconds                     *prometheus.Desc
	calls, panics                             *prometheus.Desc
	done, doneBytes, attempts                 *prometheus.Desc
	inFlight, inFlightLimit, waiting          *prometheus.Desc
	backlogRecords, backlogBytes, oldest      *prometheus.Desc
	shareUsed, shareLimit                     *prometheus.Desc
	lastSuccess, lastAttempt, parked, overdue *prometheus.Desc
	stored, room, bufferFailing               *prometheus.Desc
	absentRecords, absentBytes, absentStored  *prometheus.Desc
	letters, letterBytes, letterRoom          *prometheus.Desc
	lettersFailing                            *prometheus.Desc
}

func newCollector(s Sources) *collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("sluice_"+name, help, labels, nil)
	}
	return &collector{
		sources: s,

		held:       desc("held_bytes", "Bytes of memory that chunks and streams occupy, overhead included."),
		limit:      desc("limit_bytes", "Bytes of memory that sluice_held_bytes is measured against: limits.engine.memory of the config."),
		ceiling:    desc("ceiling_bytes", "Bytes of memory held at which no stream is read any more."),
		tenantHeld: desc("tenant_held_bytes", "Bytes of records that are held in memory, by tenant.", "tenant"),
		streams:    desc("streams", "Streams that are known now, connected or not."),
		sessions:   desc("sessions", "Streams that are connected now."),
		paused:     desc("streams_paused", "Streams that are paused now, by reason.", "reason"),
		draining:   desc("draining", "1 while the gateway is stopping and takes no new streams, else 0."),

		records:       desc("records_total", "Records admitted from producers."),
		recordBytes:   desc("record_bytes_total", "Bytes on the wire of the records admitted from producers."),
		acked:         desc("acked_records_total", "Records acked to producers, those included that were rejected for a fault of their own."),
		repeated:      desc("repeated_records_total", "Records that producers sent again, and that were acked and not stored twice."),
		skipped:       desc("skipped_records_total", "Records, by their sequences, that producers held no more when they reconnected, and that were never taken here."),
		rejected:      desc("rejected_records_total", "Records rejected for a fault of their own, by the fault's code.", "code"),
		refused:       desc("refused_total", "Opens, appends and sends that the engine refused, by code; what the server refused by itself is in sluice_calls_total alone.", "code"),
		pauses:        desc("pauses_total", "Times that a stream was paused, by reason.", "reason"),
		pausedSeconds: desc("paused_seconds_total", "Seconds for which streams were paused, summed over all streams, by reason.", "reason"),

		calls:  desc("calls_total", "gRPC calls that ended, by method and gRPC code, whoever refused them.", "method", "code"),
		panics: desc("panics_total", "Panics in gRPC calls, each answered INTERNAL."),

		done:           desc("done_records_total", "Records that an output is done with: delivered, dead_lettered or dropped; with a reason where not delivered.", "output", "result", "reason"),
		doneBytes:      desc("done_record_bytes_total", "Bytes of the records that an output is done with, as the output measures them: on the wire, but for cloudwatch.", "output", "result", "reason"),
		attempts:       desc("output_attempts_total", "Writes to the destination that returned, by result.", "output", "result"),
		inFlight:       desc("output_in_flight", "Batches that are being written to the destination now.", "output"),
		inFlightLimit:  desc("output_in_flight_limit", "Batches that may be written to the destination at once.", "output"),
		waiting:        desc("output_waiting_spans", "Spans, runs of records with one key, that wait to be written.", "output"),
		backlogRecords: desc("output_backlog_records", "Records that the output has yet to be done with.", "output"),
		backlogBytes:   desc("output_backlog_bytes", "Bytes of the records that the output has yet to be done with, overhead included.", "output"),
		oldest:         desc("output_oldest_unflushed_seconds", "Age in seconds of the oldest record that the output has yet to be done with; 0 when there is none.", "output"),
		shareUsed:      desc("output_share_used_bytes", "Bytes of its share of the buffer that the output needs, overhead included.", "output"),
		shareLimit:     desc("output_share_limit_bytes", "Bytes of the buffer that the output may need: its share.", "output"),
		lastSuccess:    desc("output_last_success_timestamp_seconds", "Unix time in seconds when a write last succeeded; 0: none yet.", "output"),
		lastAttempt:    desc("output_last_attempt_timestamp_seconds", "Unix time in seconds when a write last began; 0: none yet.", "output"),
		parked:         desc("output_parked_keys", "Keys that are parked now, as the destination denies access to them.", "output"),
		overdue:        desc("output_overdue_writes", "Writes that have not returned by their deadline, and run on.", "output"),

		stored:        desc("buffer_stored_bytes", "Bytes of the disk buffer's files in which a configured output still needs something, counted whole."),
		room:          desc("buffer_room_bytes", "Bytes of the disk buffer's files at which producers are paused: storage of the config, less a file for what is under way and what absent outputs keep; 0: no bound."),
		bufferFailing: desc("buffer_failing", "1 while the disk does not do this work for the buffer, which is commit, checkpoint or read; else 0.", "work"),
		absentRecords: desc("buffer_absent_backlog_records", "Records that the disk buffer keeps for an output that is not configured any more, until it is again or is forgotten.", "output"),
		absentBytes:   desc("buffer_absent_backlog_bytes", "Bytes of the records that the disk buffer keeps for an output that is not configured any more, overhead included.", "output"),
		absentStored:  desc("buffer_absent_stored_bytes", "Bytes of the disk buffer's files that are kept for outputs alone that are not configured any more; they are taken off its room."),

		letters:        desc("dead_letters", "Dead letters that are in the store on the disk."),
		letterBytes:    desc("dead_letters_bytes", "Bytes that the store of dead letters takes on the disk."),
		letterRoom:     desc("dead_letters_room_bytes", "Bytes that the store of dead letters may take on the disk."),
		lettersFailing: desc("dead_letters_failing", "1 while the store takes no dead letters, as its disk fails or it is full; else 0."),
	}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, ch) }

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	x := sample{ch: ch}
	st := c.sources.Engine()
	c.collectEngine(x, &st)
	now := time.Now()
	for i := range st.Outputs {
		o := &st.Outputs[i]
		if _, there := o.Done[lost()]; !there && st.Buffer.Durable { // a series from the start, as above all these are watched
			x.count(c.done, 0, o.Name, lost().Result, lost().Reason)
		}
		c.collectOutput(x, now, o)
	}
	c.collectStorage(x, &st.Buffer)
	if c.sources.Server == nil {
		return
	}
	served := c.sources.Server()
	for label, n := range served.Calls {
		x.count(c.calls, float64(n), label.Method, label.Code.String())
	}
	x.count(c.panics, float64(served.Panics))
}

func (c *collector) collectEngine(x sample, st *engine.Stats) {
	x.gauge(c.held, float64(st.Held))
	x.gauge(c.limit, float64(st.Limit))
	x.gauge(c.ceiling, float64(st.Ceiling))
	for tenant, held := range st.TenantHeld {
		x.gauge(c.tenantHeld, float64(held), tenant)
	}
	x.gauge(c.streams, float64(st.Streams))
	x.gauge(c.sessions, float64(st.Sessions))
	x.gauge(c.draining, bit(st.Draining))
	// Every reason always has a series: a rate over one that is not there yet would miss its first pause.
	for r := engine.ReasonStreamLimit; r <= engine.ReasonShutdown; r++ {
		x.gauge(c.paused, float64(st.Paused[r]), r.String())
		x.count(c.pauses, float64(st.Pauses[r]), r.String())
		x.count(c.pausedSeconds, st.PausedFor[r].Seconds(), r.String())
	}
	x.count(c.records, float64(st.Records))
	x.count(c.recordBytes, float64(st.Bytes))
	x.count(c.acked, float64(st.Acked))
	x.count(c.repeated, float64(st.Repeated))
	x.count(c.skipped, float64(st.Skipped))
	for code := engine.FaultMalformed; code <= engine.FaultTooDeep; code++ {
		x.count(c.rejected, float64(st.Rejected[code]), faultName(code))
	}
	for code := engine.CodeInvalidArgument; code <= engine.CodeUnavailable; code++ {
		x.count(c.refused, float64(st.Refused[code]), codeName(code))
	}
}

func (c *collector) collectOutput(x sample, now time.Time, o *engine.OutputStats) {
	for label, t := range o.Done {
		x.count(c.done, float64(t.Records), o.Name, label.Result, label.Reason)
		x.count(c.doneBytes, float64(t.Bytes), o.Name, label.Result, label.Reason)
	}
	for result, n := range o.Attempts {
		x.count(c.attempts, float64(n), o.Name, result)
	}
	x.gauge(c.inFlight, float64(o.InFlight), o.Name)
	x.gauge(c.inFlightLimit, float64(o.Limit), o.Name)
	x.gauge(c.waiting, float64(o.Waiting), o.Name)
	x.gauge(c.backlogRecords, float64(o.Backlog.Records), o.Name)
	x.gauge(c.backlogBytes, float64(o.Backlog.Bytes), o.Name)
	x.gauge(c.oldest, age(now, o.Backlog.Oldest).Seconds(), o.Name)
	x.gauge(c.shareUsed, float64(o.ShareUsed), o.Name)
	x.gauge(c.shareLimit, float64(o.ShareLimit), o.Name)
	x.gauge(c.lastSuccess, timestamp(o.LastSuccess), o.Name)
	x.gauge(c.lastAttempt, timestamp(o.LastAttempt), o.Name)
	x.gauge(c.parked, float64(o.ParkedKeys), o.Name)
	x.gauge(c.overdue, float64(o.Overdue), o.Name)
}

// collectStorage writes how the disk fares, where there is one.
func (c *collector) collectStorage(x sample, b *engine.BufferStats) {
	if b.Durable {
		x.gauge(c.stored, float64(b.Stored))
		x.gauge(c.room, float64(b.Room))
		for _, a := range b.Absent { // no more than engine.MaxOutputs
			x.gauge(c.absentRecords, float64(a.Records), a.Output)
			x.gauge(c.absentBytes, float64(a.Bytes), a.Output)
		}
		x.gauge(c.absentStored, float64(b.AbsentStored))
		failing := map[string]float64{"commit": 0, "checkpoint": 0, "read": 0} // a series from the start
		for _, f := range b.Failing {
			failing[f.Work] = 1
		}
		for work, v := range failing {
			x.gauge(c.bufferFailing, v, work)
		}
	}
	if c.sources.Letters == nil {
		return
	}
	l := c.sources.Letters()
	x.gauge(c.letters, float64(l.Letters))
	x.gauge(c.letterBytes, float64(l.Bytes))
	x.gauge(c.letterRoom, float64(l.Room))
	x.gauge(c.lettersFailing, bit(l.Failing != nil))
}

// lost is how records end that a durable buffer cannot read any more.
func lost() engine.DoneLabel { return engine.DoneLabel{Result: "dropped", Reason: "lost"} }

func bit(on bool) float64 {
	if on {
		return 1
	}
	return 0
}

// A sample writes metrics of one scrape.
type sample struct{ ch chan<- prometheus.Metric }

func (x sample) gauge(d *prometheus.Desc, v float64, labels ...string) {
	x.ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, plain(labels)...)
}

func (x sample) count(d *prometheus.Desc, v float64, labels ...string) {
	x.ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, plain(labels)...)
}

// plain makes labels valid, as they must be: reasons of dead letters are the outputs' words.
func plain(labels []string) []string {
	for i, l := range labels {
		labels[i] = strings.ToValidUTF8(l, "\uFFFD")
	}
	return labels
}

// age is how long ago t was, and 0 where there is no t.
func age(now, t time.Time) time.Duration {
	if t.IsZero() {
		return 0
	}
	return now.Sub(t)
}

func timestamp(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}

// faultName is the label code of rejected records.
func faultName(c engine.FaultCode) string {
	switch c {
	case engine.FaultMalformed:
		return "malformed"
	case engine.FaultInvalidUTF8:
		return "invalid_utf8"
	case engine.FaultTooDeep:
		return "too_deep"
	default:
		return "unknown"
	}
}

// codeName is the label code of what the engine refused.
func codeName(c engine.Code) string {
	switch c {
	case engine.CodeInvalidArgument:
		return "invalid_argument"
	case engine.CodeFailedPrecondition:
		return "failed_precondition"
	case engine.CodeAborted:
		return "aborted"
	case engine.CodeResourceExhausted:
		return "resource_exhausted"
	case engine.CodeUnavailable:
		return "unavailable"
	default:
		return "unknown"
	}
}
