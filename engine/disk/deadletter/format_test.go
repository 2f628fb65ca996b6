package deadletter

import (
	"encoding/hex"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicelog/sluice/engine"
)

// What lies on disks by now is read by later versions: these bytes change with the number of the version alone.
const (
	letterOfVersion1 = "0103617773102f617070732f73686f703a7765622d3107746f6f5f6f6c64126f6c646572207468616e2031342064617973053766332d3103" +
		"cad6b9950d06b8d7b9950dff93ebdc03fee3ad950d000764656661756c740273310d73686f702e636865636b6f75748080a8b1e39fe7cb17" +
		"2a120a100a09686f73742e6e616d6512030a0168030a01730980de7af05172861810092a060a04626f647932080a016b12030a0176"
	removedOfVersion1 = "736c756963652072656d6f766564206c6574746572732037323837626266330a01020103c40102"
)

func TestFormat(t *testing.T) {
	if got := hex.EncodeToString(appendLetter(nil, record(full()))); got != letterOfVersion1 {
		t.Errorf("a letter is\n%s\nwant\n%s", got, letterOfVersion1)
	}
	removed := runsOf([]uint64{1, 2, 3, 200, 201})
	if got := hex.EncodeToString(encodeRemoved(removed)); got != removedOfVersion1 {
		t.Errorf("what was removed is\n%s\nwant\n%s", got, removedOfVersion1)
	}
	b, _ := hex.DecodeString(letterOfVersion1)
	var l engine.Letter
	if err := parseLetter(b, &l); err != nil || !cmp.Equal(l, full(), alike()) {
		t.Errorf("%v: %s", err, cmp.Diff(full(), l, alike()))
	}
	b, _ = hex.DecodeString(removedOfVersion1)
	if r, err := decodeRemoved(b); err != nil || !slices.Equal(r, removed) {
		t.Errorf("%v: %v", err, r)
	}
}
