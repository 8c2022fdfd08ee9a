package main

import (
	"slices"
	"testing"
)

func TestFreePortsStayClearOfEachOther(t *testing.T) {
	var ports []int
	for range 50 {
		port, err := freePort()
		if err != nil {
			t.Fatal(err)
		}
		if slices.Contains(ports, port) {
			t.Fatalf("port %d was given twice", port)
		}
		ports = append(ports, port)
	}
}
