package main

import (
	"encoding/json"
	"io"

	"github.com/sluicelog/sluice/cmd/sluice/internal/config"
	"github.com/sluicelog/sluice/engine/disk"
	"github.com/sluicelog/sluice/engine/disk/deadletter"
)

// A bufferView is a bufferReport for programs.
type bufferView struct {
	*disk.Report
	Outputs []outputView       `json:"outputs"` // in place of the report's, as are those that follow
	Streams []streamView       `json:"streams"`
	Letters *deadletter.Report `json:"dead_letters,omitempty"`
}

type outputView struct {
	disk.OutputReport
	Store bool `json:"store,omitempty"` // it is the store's, and not of the config
}

// A streamView has its epoch in a string, as protobuf has it in JSON: often it is nanoseconds, and over 2^53. What else is 64 bits wide
// is counted from 1, or is bytes.
type streamView struct {
	disk.StreamReport
	Epoch uint64 `json:"epoch,string"`
}

func (r bufferReport) view() bufferView {
	v := bufferView{
		Report: r.Report, Letters: r.Letters,
		Outputs: make([]outputView, len(r.Outputs)), Streams: make([]streamView, len(r.Streams)),
	}
	for i, o := range r.Outputs {
		v.Outputs[i] = outputView{OutputReport: o, Store: o.Name == config.StoreName}
	}
	for i, s := range r.Streams {
		v.Streams[i] = streamView{StreamReport: s, Epoch: s.Epoch}
	}
	return v
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
