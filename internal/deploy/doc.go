// Package deploy checks what examples/service is deployed with: the compose file, the Kubernetes manifests, the Dockerfile
// and what configures Prometheus. It reads them as those do that they are for, and compares what they say of ports, paths,
// times, variables and metrics with the program. It has no other code.
//
// The go command does not see when a file of another module changes: after a change of these, test with -count=1.
//
// This is a module of its own, because nobody else needs the types of Kubernetes and the loader of compose files.
package deploy
