package conformance

import "slices"

// parts are the tables of the files that cases are in.
var parts = [][]Case{
	infoCases, credentialCases, roundTripCases, enqueueCases, queueCases, coverCases,
	settleCases, leaseCases, retryCases, handlerCases, decideCases, isolationCases, drainCases,
	deadLetterCases, bounceCases, redeliveryCases, missingCases, stopCases, depthCases, closeCases, contextCases, idempotencyCases,
	priorityCases, delayCases, dedupCases, dedupKeyCases, groupCases, atomicCases, inspectCases, pauseCases,
	partlyCases, wakesCases, pagesCases, countsCases, alikeCases, clockCases, groupLifeCases, windowCases, boundsCases, comebackCases,
	reuseCases, permitsCases, precedenceCases, negativeCases, unsettledCases, effectsCases, custodyCases, midwayCases, raceCases,
	rowsCases, producingCases, claimsCases,
	importCases, importOnceCases, queueListCases, purgeCases,
	txCases, txRefusedCases, txKeyCases, txCompleteCases, txWorkCases,
	deadlineCases, connectionCases, disturbCases, disturbKeyCases, indexCases,
	faultCases, settlingCases,
}

// Cases lists all cases, in the order in which they run.
func Cases() []Case { return slices.Concat(parts...) }
