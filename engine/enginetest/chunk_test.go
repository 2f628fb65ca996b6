package enginetest_test

import (
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/enginetest"
	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

// What is made by hand here must be what the schema says.
func TestMintedChunkIsOnTheWire(t *testing.T) {
	var mint enginetest.Mint
	c := mint.ChunkOf(&engine.Stream{ID: "s"}, 7, 1,
		enginetest.Record(7, "seven"), enginetest.Record(8, "eight", "k", "v", "l", "w"))
	var a sluicev1.Append
	if err := proto.Unmarshal(c.Data, &a); err != nil {
		t.Fatal(err)
	}
	if len(a.GetRecords()) != 2 || c.Count != 2 || c.First != 7 || c.Last != 8 {
		t.Fatalf("chunk of %d records, %d to %d, unmarshals to %d", c.Count, c.First, c.Last, len(a.GetRecords()))
	}
	seven, eight := a.GetRecords()[0], a.GetRecords()[1]
	if got := seven.GetBody().GetStringValue(); got != "seven" {
		t.Errorf("body %q", got)
	}
	if eight.GetTimeUnixNano() <= seven.GetTimeUnixNano() || eight.GetSeverityNumber() != sluicev1.SeverityNumber_SEVERITY_NUMBER_INFO {
		t.Errorf("record %v after %v", eight, seven)
	}
	if kv := eight.GetAttributes(); len(kv) != 2 || kv[1].GetKey() != "l" || kv[1].GetValue().GetStringValue() != "w" {
		t.Errorf("attributes %v", kv)
	}
	var r sluicev1.Resource
	if err := proto.Unmarshal(enginetest.Resource("service.name", "shop"), &r); err != nil {
		t.Fatal(err)
	}
	if kv := r.GetAttributes(); len(kv) != 1 || kv[0].GetKey() != "service.name" {
		t.Errorf("resource %v", kv)
	}
	if got := enginetest.Bodies(c); !slices.Equal(got, []string{"seven", "eight"}) {
		t.Errorf("Bodies: %q", got)
	}
	c.Release()
	mint.Check(t)
}

func TestMintCounts(t *testing.T) {
	var mint enginetest.Mint
	c := mint.Chunk(&engine.Stream{}, 1, 0, "x")
	wire := slices.Collect(func(yield func(engine.Record) bool) {
		for _, r := range c.Records() {
			yield(r)
		}
	})
	c.Retain()
	c.Release()
	if mint.Frees(c) != 0 || mint.Held() != 1 {
		t.Errorf("freed %d times, %d held; want 0 and 1", mint.Frees(c), mint.Held())
	}
	c.Release()
	if mint.Frees(c) != 1 || mint.Held() != 0 {
		t.Errorf("freed %d times, %d held; want 1 and 0", mint.Frees(c), mint.Held())
	}
	if got := enginetest.Body(wire[0]); got == "x" {
		t.Error("a freed chunk can still be read")
	}
	mint.Check(t)
}
