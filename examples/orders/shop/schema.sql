-- The shop's own tables, in a schema of their own: a role named batch has the schema of that name, which is that of the jobs, first in
-- its search_path. They are made by every process that starts, one after the other.
SELECT pg_advisory_xact_lock(7215004211);

CREATE SCHEMA IF NOT EXISTS shop;

CREATE TABLE IF NOT EXISTS shop.orders (
	id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	key   text   NOT NULL UNIQUE, -- the client's: a request that is repeated is the same order
	item  text   NOT NULL,
	cents bigint NOT NULL CHECK (cents > 0)
);

CREATE TABLE IF NOT EXISTS shop.payments (
	order_id bigint PRIMARY KEY REFERENCES shop.orders,
	charge   text   NOT NULL, -- its number at the provider
	cents    bigint NOT NULL
);
