// Package schedulers has the tests of package cron on real brokers, with processes of their
// own that can be killed, and no other code.
package schedulers
