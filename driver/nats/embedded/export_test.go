package embedded

import natsgo "github.com/nats-io/nats.go"

// Connection is the client library's connection of a driver.
func Connection(d *Driver) *natsgo.Conn { return d.nc }

// TakeTurn takes the turn of those that open and close servers, until giveBack.
func TakeTurn() (giveBack func()) {
	instances.turn <- struct{}{}
	return func() { <-instances.turn }
}
