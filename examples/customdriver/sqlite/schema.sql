-- A job is one row for all its life, so that no crash can find it between two states.
CREATE TABLE IF NOT EXISTS jobs (
	seq   INTEGER PRIMARY KEY AUTOINCREMENT,
	queue TEXT NOT NULL,
	state TEXT NOT NULL CHECK (state IN ('waiting', 'scheduled', 'running', 'dead')),
	-- In nanoseconds: when a scheduled job is ready, when a running one's lease
	-- ends, when a dead one died. 0 for a waiting one.
	due   INTEGER NOT NULL DEFAULT 0,
	-- The fence: new each time that the job is handed out, 0 when nobody has it.
	token INTEGER NOT NULL DEFAULT 0,
	level INTEGER NOT NULL DEFAULT 0,
	id    TEXT NOT NULL DEFAULT '',
	message BLOB,
	failures     INTEGER NOT NULL DEFAULT 0,
	error        TEXT NOT NULL DEFAULT '',
	reason       TEXT NOT NULL DEFAULT '',
	deliveries   INTEGER NOT NULL DEFAULT 0,
	redeliveries INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS waiting ON jobs (queue, level DESC, seq) WHERE state = 'waiting';
CREATE INDEX IF NOT EXISTS due ON jobs (queue, due) WHERE state <> 'dead';
CREATE INDEX IF NOT EXISTS dead ON jobs (queue, due, seq) WHERE state = 'dead';

-- The jobs of each queue and state are counted as they change, because the cost
-- of Depth must not grow with their number.
CREATE TABLE IF NOT EXISTS counts (queue TEXT, state TEXT, n INTEGER, PRIMARY KEY (queue, state));
CREATE VIEW IF NOT EXISTS depths AS SELECT queue,
	sum(n) FILTER (WHERE state = 'waiting') AS waiting, sum(n) FILTER (WHERE state = 'scheduled') AS scheduled,
	sum(n) FILTER (WHERE state = 'running') AS running, sum(n) FILTER (WHERE state = 'dead') AS dead
	FROM counts GROUP BY queue;
CREATE TRIGGER IF NOT EXISTS added AFTER INSERT ON jobs BEGIN
	INSERT INTO counts VALUES (new.queue, new.state, 1) ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER IF NOT EXISTS moved AFTER UPDATE OF state ON jobs BEGIN
	UPDATE counts SET n = n - 1 WHERE queue = old.queue AND state = old.state;
	INSERT INTO counts VALUES (new.queue, new.state, 1) ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER IF NOT EXISTS removed AFTER DELETE ON jobs BEGIN
	UPDATE counts SET n = n - 1 WHERE queue = old.queue AND state = old.state;
END;
