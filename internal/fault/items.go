package fault

import "github.com/batch-go/batch/driver"

// All repeats the error of a whole call for each of its n items.
func All(n int, err error) []error {
	errs := make([]error, n)
	for i := range errs {
		errs[i] = err
	}
	return errs
}

// Results is [All] for the results of an Enqueue.
func Results(n int, err error) []driver.Result {
	results := make([]driver.Result, n)
	for i := range results {
		results[i].Err = err
	}
	return results
}

// Set puts the error of item i of n into errs, which is nil as long as there is
// none.
func Set(errs []error, n, i int, err error) []error {
	if errs == nil {
		errs = make([]error, n)
	}
	errs[i] = err
	return errs
}
