// Package collector tests package otelbatch with a real OpenTelemetry Collector: a service
// with an API and a worker sends its spans and metrics to it by OTLP, on each broker, and
// the test reads back what the Collector has written.
//
//	make telemetry
//
// The Collector is made of its own modules, with the receiver of OTLP and an exporter that
// writes files. It runs in the process of the test.
//
// This is a module of its own, in no workspace: what the Collector requires would decide
// with which versions everything else is tested, and takes minutes to compile.
package collector
