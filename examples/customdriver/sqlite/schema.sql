-- A job is one row all its life, so that no crash can find it between two states: waiting (due),
-- scheduled (not due yet), running (leased, and due when the lease ends), or dead.
CREATE TABLE IF NOT EXISTS jobs (
	seq   INTEGER PRIMARY KEY, queue TEXT NOT NULL,
	due   INTEGER DEFAULT 0, -- in nanoseconds: when it may be handed out, or when it died
	lease TEXT UNIQUE,       -- the fence: new each time that the job is handed out
	id TEXT, message BLOB, dead BOOLEAN DEFAULT false, error TEXT DEFAULT '', reason TEXT DEFAULT '',
	failures INTEGER DEFAULT 0, deliveries INTEGER DEFAULT 0, redeliveries INTEGER DEFAULT 0,
	bounces INTEGER DEFAULT 0, bounced INTEGER DEFAULT -62135596800000 -- in milliseconds: Go's zero time
);
CREATE INDEX IF NOT EXISTS jobs_due ON jobs (queue, dead, due, seq);
CREATE TABLE IF NOT EXISTS queues (name TEXT PRIMARY KEY);
