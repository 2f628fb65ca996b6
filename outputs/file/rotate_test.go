package file

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicelog/sluice/engine"
)

// names lists a directory: names with their contents, decompressed; times are numbered in their order.
func names(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	n := 0
	for _, e := range entries {
		name, content := e.Name(), read(t, filepath.Join(dir, e.Name()))
		if r, ok := parseRotated(name); ok {
			n++
			name = fmt.Sprintf("%s.%d%s", r.active, n, r.suffix)
			if r.suffix == gzipSuffix {
				content = gunzip(t, content)
			}
		}
		all = append(all, name+"="+content)
	}
	return all
}

func gunzip(t testing.TB, s string) string {
	t.Helper()
	z, err := gzip.NewReader(strings.NewReader(s))
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func expect(t testing.TB, dir string, want ...string) {
	t.Helper()
	if got := names(t, dir); !slices.Equal(got, want) {
		t.Errorf("the directory holds %q, want %q", got, want)
	}
}

func TestRotationBySizeCutsBetweenRecords(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	o := text(t, Options{Path: path, Rotate: Rotate{Size: 8}}, nil)
	write(t, o, path, "one", "two", "three", "larger than a file", "1", "2")
	write(t, o, path, "3", "4", "5")
	expect(t, dir, "f=5\n", "f.1=one\ntwo\n", "f.2=three\n", "f.3=larger than a file\n", "f.4=1\n2\n3\n4\n")
}

// The file stays open throughout: a file system's clock is not the bubble's.
func TestRotationByAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		path := filepath.Join(dir, "f")
		o := text(t, Options{Path: path, Rotate: Rotate{Age: time.Hour}, IdleClose: 2 * time.Hour}, nil)
		write(t, o, path, "one")
		time.Sleep(time.Hour - 1)
		write(t, o, path, "two")
		time.Sleep(time.Nanosecond)
		write(t, o, path, "three")
		time.Sleep(time.Minute)
		write(t, o, path, "four")
		expect(t, dir, "f=three\nfour\n", "f.1=one\ntwo\n")
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A file that is closed between two writes, as idle, as one too many or by a restart, is as old as it is: it does not begin
// anew with its last write.
func TestAgeOutlivesClosing(t *testing.T) {
	for name, reopen := range map[string]func(*testing.T, *Output) *Output{
		"idle": func(_ *testing.T, o *Output) *Output {
			o.closeIdle(time.Now())
			return o
		},
		"one too many": func(t *testing.T, o *Output) *Output {
			other := filepath.Join(t.TempDir(), "other")
			write(t, o, other, "x")
			return o
		},
		"restart": func(t *testing.T, o *Output) *Output {
			if err := o.Close(); err != nil {
				t.Error(err)
			}
			return text(t, o.set.Options, nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "f")
			o := text(t, Options{Path: path, Rotate: Rotate{Age: time.Nanosecond}, MaxOpen: 1}, nil)
			write(t, o, path, "one")
			if birth(path).IsZero() {
				t.Skip("this file system does not keep when a file was made")
			}
			later := time.Now().Add(time.Hour) // the last write, were it to count
			if err := os.Chtimes(path, later, later); err != nil {
				t.Fatal(err)
			}
			o = reopen(t, o)
			write(t, o, path, "two")
			expect(t, dir, "f=two\n", "f.1=one\n")
		})
	}
}

func TestRotatedFilesAreCompressedAndKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		path := filepath.Join(dir, "f")
		o := text(t, Options{Path: path, Rotate: Rotate{Size: 4, Gzip: true, Keep: 2}}, nil)
		for i := range 5 {
			write(t, o, path, fmt.Sprint("f.", i))
			time.Sleep(time.Second)
		}
		synctest.Wait()
		expect(t, dir, "f=f.4\n", "f.1.gz=f.2\n", "f.2.gz=f.3\n")
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestRotatedFilesGetTooOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		path := filepath.Join(dir, "f")
		o := text(t, Options{Path: path, Rotate: Rotate{Size: 4, KeepFor: time.Hour}}, nil)
		for i := range 3 {
			write(t, o, path, fmt.Sprint("f.", i))
			time.Sleep(40 * time.Minute)
		}
		write(t, o, path, "f.3")
		synctest.Wait()
		expect(t, dir, "f=f.3\n", "f.1=f.1\n", "f.2=f.2\n")
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	})
}

// Files that were put aside get too old while nobody writes to their path, too.
func TestRotatedFilesOfASilentPathGetTooOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		path := filepath.Join(dir, "f")
		o := text(t, Options{Path: path, Rotate: Rotate{Size: 4, KeepFor: time.Hour}}, nil)
		write(t, o, path, "f.0", "f.1")
		time.Sleep(59 * time.Minute)
		synctest.Wait()
		expect(t, dir, "f=f.1\n", "f.1=f.0\n")
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		expect(t, dir, "f=f.1\n")
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestKnownPathsAreBounded(t *testing.T) {
	d := newDue()
	for i := range maxKnown + 10 {
		d.opened(fmt.Sprint(i))
	}
	if n := len(d.all()); n != maxKnown {
		t.Errorf("%d paths are known, at most %d may be", n, maxKnown)
	}
	if n := len(d.take()); n != maxKnown+10 {
		t.Errorf("%d paths are due, want all", n)
	}
	last := fmt.Sprint(maxKnown + 9)
	d.opened(last)
	if again := d.take(); len(again) > 0 {
		t.Errorf("%q is due again", again)
	}
	d.rotated(last)
	if again := d.take(); !slices.Equal(again, []string{last}) {
		t.Errorf("due after a rotation: %q", again)
	}
}

// A path that is opened again and again has its directory looked at once, and then in the tender's own time.
func TestReopeningLooksAtNothingAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		o := text(t, Options{Path: dir + "/{stream}", Rotate: Rotate{Size: 1 << 20}, MaxOpen: 1}, nil)
		open := func() {
			for _, name := range []string{"f", "g"} {
				write(t, o, filepath.Join(dir, name), "x")
			}
			synctest.Wait()
		}
		open()
		left := rotated{active: filepath.Join(dir, "f"), at: time.Now(), suffix: gzipSuffix + tempSuffix}.path()
		if err := os.WriteFile(left, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if open(); !taken(left) {
			t.Error("the directory was looked at again")
		}
		time.Sleep(sweepLongest + 1)
		if synctest.Wait(); taken(left) {
			t.Error("the directory was not looked at in time")
		}
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	})
}

// Whatever a crash left of compressing is finished at the first write, and what belongs to others is left alone.
func TestLeftoversAreFinished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		path := filepath.Join(dir, "f")
		at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
		put := func(n int, suffix, content string) {
			r := rotated{active: path, at: at.Add(time.Duration(n)), suffix: suffix}
			if err := os.WriteFile(r.path(), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		zipped := zip(t, "second, compressed")
		put(1, "", "first")
		put(1, gzipSuffix+tempSuffix, "half of it")
		put(2, "", "second") // compressed, but not yet removed
		put(2, gzipSuffix, zipped)
		put(3, gzipSuffix+tempSuffix, "nothing to it")
		for _, other := range []string{"f.20260102T030405.1Z", "f.old.gz", "fx.20260102T030405.000000007Z"} {
			if err := os.WriteFile(filepath.Join(dir, other), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		o := text(t, Options{Path: path, Rotate: Rotate{Size: 1 << 20, Gzip: true}}, nil)
		write(t, o, path, "now")
		synctest.Wait()
		expect(t, dir, "f=now\n", "f.1.gz=first", "f.2.gz=second, compressed", "f.20260102T030405.1Z=", "f.old.gz=", "fx.3=")
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	})
}

func zip(t testing.TB, s string) string {
	t.Helper()
	var b strings.Builder
	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, s); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// Compressing that is cut off leaves the original whole and nothing else.
func TestCompressingIsCutOff(t *testing.T) {
	dir := t.TempDir()
	path := rotated{active: filepath.Join(dir, "f"), at: time.Unix(0, 0)}.path()
	if err := os.WriteFile(path, []byte("all"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Options{Path: "f"}.settle()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.compress(ctx, path); err == nil {
		t.Error("it went on")
	}
	expect(t, dir, "f.1=all")
}

func (ts *targets) countOpen() int {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	return len(ts.byPath)
}

func TestOpenFilesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		o := text(t, Options{Path: filepath.Join(dir, "{stream}"), MaxOpen: 3, IdleClose: time.Minute}, nil)
		for round := range 2 {
			for i := range 10 {
				write(t, o, filepath.Join(dir, fmt.Sprint(i)), fmt.Sprint(round))
			}
		}
		if n := o.countOpen(); n != 3 {
			t.Errorf("%d files are open, want 3", n)
		}
		for i := range 10 {
			if got := read(t, filepath.Join(dir, fmt.Sprint(i))); got != "0\n1\n" {
				t.Errorf("file %d holds %q", i, got)
			}
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if n := o.countOpen(); n != 0 {
			t.Errorf("%d files are open after an idle time", n)
		}
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A rate makes a Write take its time; a deadline that passes meanwhile loses and repeats nothing.
func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "f")
		o := text(t, Options{Path: path, Rate: 100}, nil)
		bodies := slices.Repeat([]string{"123456789"}, 100) // 1,000 bytes
		begun := time.Now()
		write(t, o, path, bodies...)
		if took := time.Since(begun); took < 9*time.Second || took > 10*time.Second {
			t.Errorf("1,000 bytes at 100 a second took %v", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		err := o.Write(ctx, batch(t, path, bodies...))
		n := takenOf(t, err)
		if n < 40 || n > 60 {
			t.Errorf("%d records of 10 bytes in 5 s", n)
		}
		if errors.Unwrap(err) != nil {
			t.Errorf("nothing failed, the rest goes on at once: %v", err)
		}
		write(t, o, path, bodies[n:]...)
		if got := strings.Count(read(t, path), "123456789\n"); got != 200 {
			t.Errorf("%d lines, want 200", got)
		}
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A Write that waits for another one of the same file ends with its context.
func TestWaitingForTheFileEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "f")
		o := text(t, Options{Path: path, Rate: 1}, nil)
		write(t, o, path, strings.Repeat("x", 99)) // the next has to wait for 100 s
		done := make(chan error)
		go func() { done <- o.Write(t.Context(), batch(t, path, "one")) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := o.Write(ctx, batch(t, path, "two")); engine.AsWriteError(err).Kind != engine.KindRetryable || err == nil {
			t.Errorf("Write: %v", err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestRotatedNamesAreRead(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)
	for _, suffix := range []string{"", ".gz", ".gz.tmp"} {
		want := rotated{active: "out/a.log", at: at, suffix: suffix}
		if got, ok := parseRotated(want.path()); !ok || got != want {
			t.Errorf("%s reads as %+v", want.path(), got)
		}
	}
	for _, path := range []string{
		"", "f", "f.gz", ".20260102T030405.000000678Z", "f.20260102T030405.000000678Z.tmp", "f-20260102T030405.000000678Z",
		"f.20261302T030405.000000678Z", "f.20260102T030405.000000678Z.zst",
	} {
		if r, ok := parseRotated(path); ok {
			t.Errorf("%s reads as %+v", path, r)
		}
	}
}
