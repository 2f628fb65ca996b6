package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"time"
)

// A machine is where and when the figures were taken. It has no names.
type machine struct {
	CPU       string  `json:"cpu"`
	Cores     int     `json:"cores"`
	MemoryMiB float64 `json:"memory_mib"`
	Kernel    string  `json:"kernel"`
	Go        string  `json:"go"`
	Date      string  `json:"date"`
	Commit    string  `json:"commit"` // with -dirty where the checkout differs from it
	Load      string  `json:"load"`   // average of the last 1, 5 and 15 minutes, before the run
}

// inspect describes this machine. What it cannot find out is empty.
func inspect(ctx context.Context) machine {
	m := machine{
		CPU:    firstMatch("/proc/cpuinfo", `(?m)^model name\s*:\s*(.*)$`),
		Cores:  runtime.NumCPU(),
		Kernel: firstMatch("/proc/sys/kernel/osrelease", `^(\S+)`),
		Go:     runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH,
		Date:   time.Now().UTC().Format(time.DateOnly),
		Load:   firstMatch("/proc/loadavg", `^(\S+ \S+ \S+)`),
	}
	var kib int64
	if _, err := fmt.Sscan(firstMatch("/proc/meminfo", `MemTotal:\s*(\d+)`), &kib); err == nil {
		m.MemoryMiB = mib(kib << 10)
	}
	commit, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty").Output()
	if err == nil {
		m.Commit = strings.TrimSpace(string(commit))
	}
	return m
}

// class names the kind of machine, for a file name.
func (m machine) class() string {
	class := fmt.Sprintf("%d-core %s", m.Cores, m.CPU)
	return strings.Trim(regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(class), "-"), "-")
}

// firstMatch is what the expression's group matches in a file.
func firstMatch(path, expression string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	match := regexp.MustCompile(expression).FindStringSubmatch(string(text))
	if match == nil {
		return ""
	}
	return match[1]
}
