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
	letters, letterBytes, letterRoom          *prometheus.Desc
	lettersFailing                            *prometheus.Desc
}

func newCollector(s Sources) *collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("sluice_"+name, help, labels, nil)
	}
	return &collector{
		sources: s,

		held:       desc("held_bytes", "Memory that chunks and streams occupy, as charged."),
		limit:      desc("limit_bytes", "What held_bytes is measured against."),
		ceiling:    desc("ceiling_bytes", "Where no stream is read any more."),
		tenantHeld: desc("tenant_held_bytes", "Bytes of records held, by tenant.", "tenant"),
		streams:    desc("streams", "Streams that are known, connected or not."),
		sessions:   desc("sessions", "Streams that are connected."),
		paused:     desc("streams_paused", "Streams that are paused now, by reason.", "reason"),
		draining:   desc("draining", "1 while the gateway is going away."),

		records:       desc("records_total", "Records admitted."),
		recordBytes:   desc("record_bytes_total", "Wire bytes of the records admitted."),
		acked:         desc("acked_records_total", "Records acked, rejected ones included."),
		repeated:      desc("repeated_records_total", "Records that were sent again and not stored twice."),
		skipped:       desc("skipped_records_total", "Sequences that producers left out when they reconnected."),
		rejected:      desc("rejected_records_total", "Records refused for a fault of their own, by code.", "code"),
		refused:       desc("refused_total", "Opens, appends and sends that the engine refused; the server's own refusals are in calls_total alone.", "code"),
		pauses:        desc("pauses_total", "How often a stream was paused, by reason.", "reason"),
		pausedSeconds: desc("paused_seconds_total", "For how long streams were paused, summed, by reason.", "reason"),

		calls:  desc("calls_total", "Calls that ended, by method and gRPC code, whoever refused them.", "method", "code"),
		panics: desc("panics_total", "Panics in calls, each answered INTERNAL."),

		done:           desc("done_records_total", "Records that an output is done with.", "output", "result", "reason"),
		doneBytes:      desc("done_record_bytes_total", "Bytes of the records that an output is done with, as it measures them: on the wire, but for cloudwatch.", "output", "result", "reason"),
		attempts:       desc("output_attempts_total", "Writes that returned, by result.", "output", "result"),
		inFlight:       desc("output_in_flight", "Batches being written.", "output"),
		inFlightLimit:  desc("output_in_flight_limit", "How many batches may be written at once.", "output"),
		waiting:        desc("output_waiting_spans", "Spans that wait to be written.", "output"),
		backlogRecords: desc("output_backlog_records", "Records that the output has yet to be done with.", "output"),
		backlogBytes:   desc("output_backlog_bytes", "What they occupy, as charged.", "output"),
		oldest:         desc("output_oldest_unflushed_seconds", "Age of the oldest record among them; 0 when there is none.", "output"),
		shareUsed:      desc("output_share_used_bytes", "How much of its share of the buffer the output needs.", "output"),
		shareLimit:     desc("output_share_limit_bytes", "The output's share of the buffer.", "output"),
		lastSuccess:    desc("output_last_success_timestamp_seconds", "When a write last succeeded; 0: never yet.", "output"),
		lastAttempt:    desc("output_last_attempt_timestamp_seconds", "When a write last began; 0: never yet.", "output"),
		parked:         desc("output_parked_keys", "Keys that the destination does not let in.", "output"),
		overdue:        desc("output_overdue_writes", "Writes that have not returned by their deadline.", "output"),

		stored:        desc("buffer_stored_bytes", "What a durable buffer has on the disk, files of which a part is still needed included."),
		room:          desc("buffer_room_bytes", "Where producers are paused for it; 0: not bounded."),
		bufferFailing: desc("buffer_failing", "1 while the buffer's disk does not do a work: commit, checkpoint or read.", "work"),

		letters:        desc("dead_letters", "Dead letters in the store."),
		letterBytes:    desc("dead_letters_bytes", "What they take on the disk."),
		letterRoom:     desc("dead_letters_room_bytes", "What they may take."),
		lettersFailing: desc("dead_letters_failing", "1 while the store takes no letters: its disk fails, or it is full."),
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
		c.collectOutput(x, now, &st.Outputs[i])
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
