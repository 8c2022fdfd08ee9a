// A module of its own, so that what batch is measured against stays out of the
// go.sum of its users.
module github.com/batch-go/batch/bench

go 1.26

require github.com/batch-go/batch v0.0.0

replace github.com/batch-go/batch => ../
