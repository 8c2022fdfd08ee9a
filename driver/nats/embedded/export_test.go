package embedded

import natsgo "github.com/nats-io/nats.go"

// Connection is the client library's connection of a driver.
func Connection(d *Driver) *natsgo.Conn { return d.nc }
