package sluice

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"

	"github.com/sluicelog/sluice/engine/disk/crashfs"
	"github.com/sluicelog/sluice/engine/disk/seglog"
)

// SpillOn gives options a disk that crashes and fails.
func SpillOn(d *crashfs.FS, o SpillOptions) *SpillOptions {
	if o.Path == "" {
		o.Path = "/spill"
	}
	o.disk = crashDisk{d}
	return &o
}

type crashDisk struct{ *crashfs.FS }

func (d crashDisk) Create(name string) (diskFile, error) { return d.FS.Create(name) }

func (d crashDisk) Open(name string) (diskFile, error) { return d.FS.Open(name) }

func (d crashDisk) Lock(name string) (io.Closer, error) {
	l, err := d.FS.Lock(name)
	if errors.Is(err, seglog.ErrLocked) {
		err = fmt.Errorf("%s: %w", name, ErrSpillLocked)
	}
	return l, err
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }
