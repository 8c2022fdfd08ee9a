-- The shop's own tables. They are made by every process that starts, one after the other.
SELECT pg_advisory_xact_lock(7215004211);

CREATE TABLE IF NOT EXISTS orders (
	id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	key   text   NOT NULL UNIQUE, -- the client's: a request that is repeated is the same order
	item  text   NOT NULL,
	cents bigint NOT NULL CHECK (cents > 0)
);

CREATE TABLE IF NOT EXISTS payments (
	order_id bigint PRIMARY KEY REFERENCES orders,
	charge   text   NOT NULL, -- its number at the provider
	cents    bigint NOT NULL
);
