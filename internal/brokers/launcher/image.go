package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/containerd/errdefs"

	"github.com/batch-go/batch/internal/brokers/launch"
)

// imageTimeout bounds the building of an image, which takes a minute with a near mirror.
const imageTimeout = 10 * time.Minute

// image returns the image to use: the override, one that is present, or else one that is made first.
func (e *engine) image(ctx context.Context, i launch.Image) (string, error) {
	if i.Override != "" {
		return i.Override, nil
	}
	ctx, cancel := context.WithTimeout(ctx, imageTimeout)
	defer cancel()
	for _, image := range i.Present {
		_, err := e.docker().ImageInspect(ctx, image)
		if err == nil {
			return image, nil
		}
		if !errdefs.IsNotFound(err) {
			return "", fmt.Errorf("look for image %s: %w", image, err)
		}
	}
	return makeImage(ctx, i.Script, i.Row)
}

// makeImage runs the script that pulls or builds the image of a row.
func makeImage(ctx context.Context, script, row string) (string, error) {
	var stdout, stderr bytes.Buffer
	command := exec.CommandContext(ctx, "bash", script, row)
	command.Stdout, command.Stderr = &stdout, &stderr
	command.WaitDelay = time.Second
	if err := command.Run(); err != nil {
		return "", fmt.Errorf("no image for %s: %w\n%s", row, err, stderr.String())
	}
	image, ok := strings.CutPrefix(strings.TrimSpace(stdout.String()), row+" ")
	if !ok {
		return "", fmt.Errorf("%s printed %q, want %q and an image", script, stdout.String(), row)
	}
	return image, nil
}
