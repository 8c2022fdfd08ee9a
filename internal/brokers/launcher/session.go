package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// The labels of every container that a launcher starts. Sweeping goes by them alone.
const (
	labelSession = "batch-go.brokers.session"
	labelHost    = "batch-go.brokers.owner.host"
	labelPID     = "batch-go.brokers.owner.pid"
	labelStart   = "batch-go.brokers.owner.start"
)

// sweepAge is how old a container must be before it is swept without proof that its owner is gone,
// as when the owner ran in another process namespace or before a reboot. No run of the tests is
// allowed to take this long.
const sweepAge = 2 * time.Hour

// An owner identifies the launcher that a container belongs to. A process id alone is used again after
// a while, and means nothing in another container or on another host that shares the engine.
type owner struct {
	host  string // host, boot and process namespace
	pid   int
	start string // when the process started, as /proc tells it; empty where there is no /proc
}

func currentOwner() owner {
	pid := os.Getpid()
	return owner{host: hostIdentity(), pid: pid, start: processStart(pid)}
}

func hostIdentity() string {
	name, err := os.Hostname()
	if err != nil {
		name = "unknown"
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		boot = nil
	}
	namespace, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		namespace = ""
	}
	return strings.Join([]string{name, strings.TrimSpace(string(boot)), namespace}, "/")
}

// processStart returns the start time of a process in clock ticks since boot, or "" when there is no
// such process or no /proc.
func processStart(pid int) string {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	// The second field is the command in parentheses and may hold spaces; the 22nd is the start time.
	after := string(stat[strings.LastIndexByte(string(stat), ')')+1:])
	fields := strings.Fields(after)
	const startTime = 22 - 3
	if len(fields) <= startTime {
		return ""
	}
	return fields[startTime]
}

func (o owner) labels(session string) map[string]string {
	return map[string]string{
		labelSession: session,
		labelHost:    o.host,
		labelPID:     strconv.Itoa(o.pid),
		labelStart:   o.start,
	}
}

// abandoned reports whether a container with these labels may be removed: its owner is known to be
// gone, or nothing can be known of its owner and it is older than any run. self is who asks;
// start tells when a process of self's host started, and "" when there is none.
func abandoned(labels map[string]string, created, now time.Time, self owner, start func(pid int) string) bool {
	pid, err := strconv.Atoi(labels[labelPID])
	if err != nil || labels[labelHost] != self.host || self.start == "" {
		return now.Sub(created) > sweepAge
	}
	return start(pid) != labels[labelStart]
}
