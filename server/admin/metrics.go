package admin

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/sluicelog/sluice/engine"
)

// Metrics is what the gateway measures of itself, in a registry of its own. It is the engine's Observer, and so is made
// before it; Watch adds what the engine and the server count. Its methods may be called concurrently.
type Metrics struct {
	registry *prometheus.Registry
	records  *prometheus.HistogramVec
	bytes    *prometheus.HistogramVec
	latency  *prometheus.HistogramVec
}

var _ engine.Observer = (*Metrics)(nil)

// NewMetrics makes metrics of the process and of the binary's version.
func NewMetrics(version string) *Metrics {
	output := []string{"output"}
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		records: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "sluice_output_batch_records",
			Help:    "Records in a batch, one observation for each attempt to write it.",
			Buckets: prometheus.ExponentialBuckets(1, 4, 8), // 1 to 16 k: CloudWatch takes 10,000
		}, output),
		bytes: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "sluice_output_batch_bytes",
			Help:    "Bytes of the records in a batch, one observation for each attempt to write it, as the output measures them: on the wire, but for cloudwatch.",
			Buckets: prometheus.ExponentialBuckets(256, 4, 8), // 256 B to 4 MiB
		}, output),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "sluice_output_flush_seconds",
			Help:    "Seconds that a write to the destination took, whatever came of it.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 9), // 1 ms to 65 s: the default deadline is 60 s
		}, output),
	}
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "sluice_build_info", Help: "Always 1; the label tells the version of the gateway.",
	}, []string{"version"})
	build.WithLabelValues(version).Set(1)
	m.registry.MustRegister(m.records, m.bytes, m.latency, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Flew implements engine.Observer.
func (m *Metrics) Flew(f engine.Flight) {
	m.records.WithLabelValues(f.Output).Observe(float64(f.Records))
	m.bytes.WithLabelValues(f.Output).Observe(float64(f.Bytes))
	m.latency.WithLabelValues(f.Output).Observe(f.Latency.Seconds())
}

// Watch adds what the sources count. It may be called once.
func (m *Metrics) Watch(s Sources) error {
	if err := m.registry.Register(newCollector(s)); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	return nil
}
