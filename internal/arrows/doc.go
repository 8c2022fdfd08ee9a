// Package arrows holds the rules of this repository that a compiler does not know, as tests: which
// package may import which, which module may require which, and what the code must look like. It has no
// other code.
//
// A rule that is broken on purpose is changed here, in the same commit, with the reason beside it.
package arrows
