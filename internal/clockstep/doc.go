// Package clockstep has what all drivers' tests of clocks share: delays and leases that are under way on a broker
// while somebody sets its time of day an hour ahead, and back again. The clock is that of the broker, or that of the
// process that uses it.
package clockstep
