// Package databases has the tests of package sqlstore on real databases, in a module of
// its own: the users of sqlstore need the client of their own database and no other.
package databases
