// Package release has the tests of what a release gives to its users, and no other code. They run
// scripts/release.sh in a copy of the working tree, and resolve the modules from that copy, by their tags, as
// somebody does who has only their names.
package release
