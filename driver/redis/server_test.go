package redis

import "testing"

func TestDescribe(t *testing.T) {
	for info, want := range map[string]server{
		"redis_version:7.0.15\r\nredis_mode:standalone\r\nmaxmemory:0\r\n":                                               {product: "Redis", version: "7.0.15", mode: "standalone"},
		"redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.1.1\r\nserver_mode:standalone\r\nmaxmemory:0\r\n": {product: "Valkey", version: "8.1.1", mode: "standalone"},
		"redis_version:8.0.2\nredis_mode:cluster\nmaxmemory:10\nmaxmemory_policy:allkeys-lru\n":                          {product: "Redis", version: "8.0.2", mode: "cluster", maxMemory: true, eviction: "allkeys-lru"},
	} {
		if got := describe(info); got != want {
			t.Errorf("%q is %+v", info, got)
		}
	}
}
