package file

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strconv"
	"time"

	"github.com/sluicelog/sluice/engine/render"
)

// Options say where records go and how. A zero field means its default, given beside it. Sizes are in bytes.
type Options struct {
	// Path is a template, as [render.ParseTemplate] reads it; each path is a key of its own. What a record puts into it
	// cannot leave the directory: see the package's description. Required.
	Path           string `yaml:"path"`
	render.Options `yaml:",inline"`
	Missing        string `yaml:"missing"` // stands in the path for a value that a record does not have: unknown

	Rotate Rotate `yaml:"rotate"`
	Fsync  string `yaml:"fsync"` // batch: before a batch counts as delivered; never: the system writes in its own time: never
	Rate   int64  `yaml:"rate"`  // bytes per second over all files, for trials: 0, no bound

	MaxOpen   int           `yaml:"max_open"`   // files open at once, where no more than that many are being written: 128
	IdleClose time.Duration `yaml:"idle_close"` // a file that was not written for this long is closed: 1 min
	FileMode  string        `yaml:"file_mode"`  // octal: 0640
	DirMode   string        `yaml:"dir_mode"`   // octal, of directories that are made: 0750

	Log *slog.Logger `yaml:"-"` // of rotated files that could not be compressed or removed: none
}

// Rotate says when a file is put aside under its name, a dot and the time, and for how long such files are kept. A zero
// field means no bound.
type Rotate struct {
	// Size is not exceeded, but by one record that alone does: it gets a file.
	Size int64 `yaml:"size"`
	// Age is counted from when the file was made or, where the system does not keep that, from its last write before it was
	// opened. The first write after it finds a new file.
	Age  time.Duration `yaml:"age"`
	Gzip bool          `yaml:"gzip"` // compress what was put aside
	Keep int           `yaml:"keep"` // as many as that per path
	// KeepFor is for how long, and up to a tenth of it more, they are kept of a path that was written since the start.
	KeepFor time.Duration `yaml:"keep_for"`
}

// The values of Options.Fsync.
const (
	fsyncNever = "never"
	fsyncBatch = "batch"
)

// settings are Options that were checked, with defaults.
type settings struct {
	Options
	path              *render.Template
	renderer          *render.Renderer
	sync              bool
	fileMode, dirMode fs.FileMode
}

func (o Options) settle() (*settings, error) {
	s := &settings{Options: o, sync: o.Fsync == fsyncBatch}
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	var err error
	if s.renderer, err = render.New(o.Options); err != nil {
		errs = append(errs, err)
	}
	if o.Path == "" {
		fault("path: it must be given")
	} else if s.path, err = render.ParseTemplate(o.Path); err != nil {
		fault("path: %w", err)
	} else {
		s.path.Clean = cleanName
		if o.Missing != "" {
			s.path.Missing = o.Missing
		}
	}
	if o.Fsync != "" && o.Fsync != fsyncNever && o.Fsync != fsyncBatch {
		fault("fsync: %q is neither %s nor %s", o.Fsync, fsyncNever, fsyncBatch)
	}
	for _, bound := range []struct {
		name string
		n    int64
	}{
		{"rotate.size", o.Rotate.Size}, {"rotate.age", int64(o.Rotate.Age)}, {"rotate.keep", int64(o.Rotate.Keep)},
		{"rotate.keep_for", int64(o.Rotate.KeepFor)}, {"rate", o.Rate}, {"max_open", int64(o.MaxOpen)},
		{"idle_close", int64(o.IdleClose)},
	} {
		if bound.n < 0 {
			fault("%s: it must not be negative", bound.name)
		}
	}
	if s.fileMode, err = mode(o.FileMode, 0o640); err != nil {
		fault("file_mode: %w", err)
	}
	if s.dirMode, err = mode(o.DirMode, 0o750); err != nil {
		fault("dir_mode: %w", err)
	}
	if s.MaxOpen == 0 {
		s.MaxOpen = 128
	}
	if s.IdleClose == 0 {
		s.IdleClose = time.Minute
	}
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	return s, errors.Join(errs...)
}

func mode(s string, otherwise fs.FileMode) (fs.FileMode, error) {
	if s == "" {
		return otherwise, nil
	}
	n, err := strconv.ParseUint(s, 8, 32)
	if err != nil || n > 0o777 {
		return 0, fmt.Errorf("%q is not an octal mode such as 0640", s)
	}
	return fs.FileMode(n), nil
}
