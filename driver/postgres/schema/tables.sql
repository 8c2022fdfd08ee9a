-- Tables of version 1. "batch" stands for the schema that the driver was opened with.

CREATE TABLE batch.meta (
	one boolean PRIMARY KEY DEFAULT true CHECK (one),
	version integer NOT NULL,
	-- A transaction of another database is recognised by it.
	identity uuid NOT NULL DEFAULT gen_random_uuid()
);

CREATE TABLE batch.queues (
	id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	name text COLLATE "C" NOT NULL UNIQUE,
	paused boolean NOT NULL DEFAULT false
);

-- The numbers of jobs, their places in the order, and fencing tokens.
CREATE SEQUENCE batch.numbers;

CREATE TABLE batch.jobs (
	seq bigint PRIMARY KEY,
	queue integer NOT NULL,
	state "char" NOT NULL, -- w waiting, b behind another of its group, s scheduled, r running
	level smallint NOT NULL,
	pos bigint NOT NULL, -- the order within a level
	since timestamptz NOT NULL, -- from when on it waits
	due timestamptz, -- when it becomes ready, or its lease ends
	token bigint, -- of its holder
	id text COLLATE "C" NOT NULL,
	kind text COLLATE "C" NOT NULL,
	content_type text COLLATE "C" NOT NULL,
	body bytea NOT NULL,
	enqueued_at bigint NOT NULL, -- Unix milliseconds, as are expires_at and bounced_since
	expires_at bigint,
	max_attempts integer,
	timeout_ms bigint,
	headers text, -- a JSON object of base64 values
	deliveries integer NOT NULL DEFAULT 0,
	lost integer NOT NULL DEFAULT 0,
	failures integer NOT NULL DEFAULT 0,
	bounces integer NOT NULL DEFAULT 0,
	bounced_since bigint,
	last_error bytea,
	dedup_key text COLLATE "C",
	dedup_number bigint, -- by which the job holds its key
	grp text COLLATE "C"
) WITH (
	fillfactor = 90,
	autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0,
	toast.autovacuum_vacuum_cost_delay = 0
);

CREATE INDEX jobs_waiting ON batch.jobs (queue, level DESC, pos) WHERE state = 'w';
CREATE INDEX jobs_blocked ON batch.jobs (queue, level DESC, pos) WHERE state = 'b';
CREATE INDEX jobs_due ON batch.jobs (queue, due) WHERE state IN ('s', 'r');
CREATE INDEX jobs_group ON batch.jobs (queue, grp, seq) WHERE grp IS NOT NULL;

CREATE TABLE batch.dead (
	seq bigint PRIMARY KEY,
	queue integer NOT NULL,
	level smallint NOT NULL,
	id text COLLATE "C" NOT NULL,
	kind text COLLATE "C" NOT NULL,
	content_type text COLLATE "C" NOT NULL,
	body bytea NOT NULL,
	enqueued_at bigint NOT NULL,
	expires_at bigint,
	max_attempts integer,
	timeout_ms bigint,
	headers text,
	deliveries integer NOT NULL,
	failures integer NOT NULL,
	bounces integer NOT NULL,
	bounced_since bigint,
	last_error bytea,
	dedup_key text COLLATE "C",
	dedup_number bigint,
	grp text COLLATE "C",
	dead_at timestamptz NOT NULL,
	reason text COLLATE "C" NOT NULL
);

CREATE INDEX dead_by_time ON batch.dead (queue, dead_at, seq);

-- The dedup keys that are remembered, and the job that has each.
CREATE TABLE batch.keys (
	queue integer NOT NULL,
	key text COLLATE "C" NOT NULL,
	number bigint NOT NULL,
	id text COLLATE "C" NOT NULL,
	expires timestamptz NOT NULL,
	PRIMARY KEY (queue, key)
);

CREATE INDEX keys_by_expiry ON batch.keys (expires);

-- The groups of which a job was handed out, and that job, until it is done or dead.
CREATE TABLE batch.claims (
	queue integer NOT NULL,
	grp text COLLATE "C" NOT NULL,
	seq bigint NOT NULL,
	PRIMARY KEY (queue, grp)
);

-- The groups of which a transaction of the application has completed a job, and whose next job is to be made
-- ready.
CREATE TABLE batch.ended (
	queue integer NOT NULL,
	grp text COLLATE "C" NOT NULL
);

CREATE INDEX ended_by_queue ON batch.ended (queue);

-- Changes of the numbers of jobs. Each is a row of its own: transactions that changed one counter
-- would wait for each other. Their sums are the numbers.
CREATE TABLE batch.tallies (
	queue integer NOT NULL,
	waiting bigint NOT NULL DEFAULT 0,
	scheduled bigint NOT NULL DEFAULT 0,
	running bigint NOT NULL DEFAULT 0,
	dead bigint NOT NULL DEFAULT 0
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);

CREATE INDEX tallies_by_queue ON batch.tallies (queue);

INSERT INTO batch.meta (version) VALUES (1);
