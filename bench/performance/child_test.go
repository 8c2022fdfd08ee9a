package performance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/batch-go/batch/bench/performance/load"
	"github.com/batch-go/batch/bench/performance/peer"
	"github.com/batch-go/batch/bench/performance/peers"
)

// childVariable has the assignment of a process that does one measurement.
const childVariable = "BATCH_PERFORMANCE_CHILD"

// An assignment is one measurement.
type assignment struct {
	Broker, Peer, Workload string
	At                     peer.Place
	Scale                  load.Scale
	Meter                  load.Broker
	Answer                 string // the file for what comes of it; what libraries print is not in the way there
}

// An answer is what came of it.
type answer struct {
	Result load.Result
	Error  string
	Lacks  bool // the peer has no means for the workload
}

// childMain does what the environment assigns, and returns whether it assigns something.
func childMain() bool {
	text := os.Getenv(childVariable)
	if text == "" {
		return false
	}
	var a assignment
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		panic(err)
	}
	out, err := json.Marshal(a.do())
	if err == nil {
		err = os.WriteFile(a.Answer, out, 0o600)
	}
	if err != nil {
		panic(err)
	}
	return true
}

// do measures.
func (a assignment) do() answer {
	row, ok := peers.Find(a.Broker, a.Peer)
	if !ok {
		return answer{Error: "no such row"}
	}
	result, err := load.Measure(context.Background(), a.Workload, row.Open, a.At, a.Scale, a.Meter)
	out := answer{Result: result, Lacks: errors.Is(err, load.ErrLacks)}
	if err != nil {
		out.Error = err.Error()
	}
	return out
}

// measure has a child do it. It is ended when it takes longer than the limit.
func (a assignment) measure(ctx context.Context, limit time.Duration) (answer, error) {
	folder, err := os.MkdirTemp("", "performance-")
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = os.RemoveAll(folder) }() // what stays in the temporary folder does no harm
	a.At.Dir, a.Answer = folder, folder+"/answer.json"
	text, err := json.Marshal(a)
	if err != nil {
		return answer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	child := exec.CommandContext(ctx, os.Args[0])
	child.Env = append(os.Environ(), childVariable+"="+string(text))
	said, err := child.CombinedOutput()
	if ctx.Err() != nil {
		return answer{}, fmt.Errorf("it took longer than %s", limit)
	}
	if err != nil {
		lines := strings.SplitN(strings.TrimSpace(string(said)), "\n", 3)
		return answer{}, fmt.Errorf("%w: %s", err, strings.Join(lines[:min(2, len(lines))], " "))
	}
	content, err := os.ReadFile(a.Answer)
	if err != nil {
		return answer{}, err
	}
	var out answer
	return out, json.Unmarshal(content, &out)
}
