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
	Outputs []outputView       `json:"outputs"` // in place of the report's
	Letters *deadletter.Report `json:"dead_letters,omitempty"`
}

type outputView struct {
	disk.OutputReport
	Store bool `json:"store,omitempty"` // it is the store's, and not of the config
}

func (r bufferReport) view() bufferView {
	v := bufferView{Report: r.Report, Letters: r.Letters, Outputs: make([]outputView, len(r.Outputs))}
	for i, o := range r.Outputs {
		v.Outputs[i] = outputView{OutputReport: o, Store: o.Name == config.StoreName}
	}
	return v
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
