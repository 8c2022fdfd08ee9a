package conformance

import "slices"

// parts are the tables of the files that cases are in.
var parts = [][]Case{
	infoCases, roundTripCases, enqueueCases, queueCases, coverCases,
	settleCases, leaseCases, retryCases, handlerCases, decideCases, isolationCases, drainCases,
	deadLetterCases, closeCases, contextCases, idempotencyCases,
	priorityCases, delayCases, dedupCases, groupCases, atomicCases, inspectCases, pauseCases,
	faultCases,
}

// Cases lists all cases, in the order in which they run.
func Cases() []Case { return slices.Concat(parts...) }
