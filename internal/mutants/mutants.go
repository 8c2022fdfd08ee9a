// Package mutants has broken versions of the core, of package idempotency and of the memory driver: each is a
// small change of their source that breaks a promise, with the case of package conformance that finds it. A case that
// does not find its mutants has become blind.
//
// All mutants are built into one program, by the overlay of the go command, without a change of the source. A variable
// of the environment says which of them is alive.
package mutants

import "slices"

// Mutant is one change of the source. It is alive if the variable has its name.
type Mutant struct {
	// Name says what is broken, in a few words.
	Name string
	// Killers are the cases that must find it, at least one. The first is the one whose rule it breaks.
	Killers []string
	// Changes are the places in the source that it changes.
	Changes []Change
	// Harness is how the cases are run: on the memory driver as it is, or with small limits if it is smallHarness.
	Harness string
}

// smallHarness is the memory driver with the small limits that some brokers have.
const smallHarness = "small limits"

// Change replaces text in a file. Several mutants may change the same place.
type Change struct {
	// File is the path below the module's folder.
	File string
	// Old is text that the file has exactly once.
	Old string
	// New is the code in its place. MUTANT stands for an expression that is true if the mutant is alive, and OLD for
	// the old text.
	New string
}

// Variable names the mutant that is alive, in the environment of the program.
const Variable = "BATCH_MUTANT"

// All are all mutants, in the order of the document.
func All() []Mutant {
	return slices.Concat(driverMutants, storageMutants, orderMutants, midwayMutants, coreMutants, decisionMutants, producerMutants, idempotencyMutants,
		contractMutants, handleMutants, transactionMutants)
}

// at makes a mutant of one change.
func at(name, file, old, new string, killers ...string) Mutant {
	return Mutant{Name: name, Killers: killers, Changes: []Change{{file, old, new}}}
}

// small makes a mutant that is found with small limits only.
func small(m Mutant) Mutant {
	m.Harness = smallHarness
	return m
}
