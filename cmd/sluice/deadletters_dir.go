package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/sluicelog/sluice/cmd/sluice/internal/config"
	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/disk/deadletter"
	"github.com/sluicelog/sluice/engine/disk/seglog"
	"github.com/sluicelog/sluice/server/admin"
)

// A letterDir is the directory of a disk buffer whose gateway does not run.
type letterDir struct {
	dir   string
	store *deadletter.Store
	log   *slog.Logger
}

var _ letterPlace = (*letterDir)(nil)

func openDir(dir string, log *slog.Logger) (*letterDir, error) {
	letters := filepath.Join(dir, config.StoreName)
	if _, err := os.Stat(letters); err != nil {
		return nil, &exitError{exitUsage, fmt.Errorf("--dir: no dead letters there: %w", err)}
	}
	store, err := deadletter.Open(deadletter.Options{Dir: letters, Log: log})
	if errors.Is(err, seglog.ErrLocked) {
		return nil, fmt.Errorf("--dir %s: a gateway is using it; leave out --dir, and it is asked", dir)
	} else if err != nil {
		return nil, fmt.Errorf("--dir: %w", err)
	}
	return &letterDir{dir, store, log}, nil
}

func (d *letterDir) each(ctx context.Context, f engine.LetterFilter, limit uint64, do func(*engine.Letter) error) error {
	missing, err := admin.EachLetter(ctx, d.store, f, limit, do)
	return errors.Join(err, noLetters(missing))
}

func (d *letterDir) replay(ctx context.Context, f engine.LetterFilter, told func(n int64)) (int64, error) {
	missing, err := admin.MissingLetters(ctx, d.store, f.IDs) // later those that were replayed are
	if err != nil {
		return 0, err
	}
	n, err := replayOffline(ctx, d.dir, d.store, f, told, d.log)
	return n, errors.Join(err, noLetters(missing))
}

func (d *letterDir) drop(ctx context.Context, f engine.LetterFilter) (admin.Dropped, error) {
	return admin.DropLetters(ctx, d.store, f)
}

func (d *letterDir) close() error { return d.store.Close() }
