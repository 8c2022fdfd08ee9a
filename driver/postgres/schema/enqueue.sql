-- Functions of version 1 that store jobs. Errors of class BA are the driver's own.

-- enter returns the number of a queue, which is not deleted before the transaction ends.
CREATE FUNCTION batch.enter(name text) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
	q integer;
BEGIN
	SELECT x.id INTO q FROM batch.queues x WHERE x.name = enter.name;
	IF q IS NOT NULL THEN
		PERFORM pg_advisory_xact_lock_shared(('batch.jobs'::regclass::oid::bigint - 2147483648)::integer, q);
		IF current_setting('transaction_isolation') = 'read committed' THEN
			PERFORM 1 FROM batch.queues x WHERE x.id = q;
		ELSE -- it may see a queue that was deleted since it began: then this fails
			PERFORM 1 FROM batch.queues x WHERE x.id = q FOR KEY SHARE;
		END IF;
		IF FOUND THEN
			RETURN q;
		END IF;
	END IF;
	RAISE EXCEPTION 'the queue does not exist' USING ERRCODE = 'BA404';
END $$;

-- hold_keys takes the locks of dedup keys in their order: transactions with the same key take turns.
-- Without patience it takes those that are free, and returns the others. The locks are in a table of the server's,
-- which is full for everybody if one transaction has too many: so one that waits has a bound. What the transaction has
-- is in a setting, which ends with it and which a rollback to a savepoint sets back, as it does with the locks.
CREATE FUNCTION batch.hold_keys(q integer, keys text[], patient boolean) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
	one text;
	busy text[] := '{}';
	class CONSTANT integer := ('batch.keys'::regclass::oid::bigint - 2147483648)::integer;
	most bigint;
	held bigint;
BEGIN
	IF patient THEN
		most := greatest(1000, current_setting('max_locks_per_transaction')::bigint
			* (current_setting('max_connections')::bigint + current_setting('max_prepared_transactions')::bigint) / 8);
		SELECT count(DISTINCT k) INTO held FROM unnest(keys) AS k;
		held := held + coalesce(nullif(current_setting('batch_keys.held', true), '')::bigint, 0);
		IF held > most THEN
			RAISE EXCEPTION 'the transaction would hold % keys, which is more than %', held, most USING ERRCODE = 'BA054';
		END IF;
		PERFORM set_config('batch_keys.held', held::text, true);
	END IF;
	FOR one IN SELECT DISTINCT k COLLATE "C" FROM unnest(keys) AS k WHERE k IS NOT NULL ORDER BY 1 LOOP
		IF patient THEN
			PERFORM pg_advisory_xact_lock(class, hashtext(q || ':' || one));
		ELSIF NOT pg_try_advisory_xact_lock(class, hashtext(q || ':' || one)) THEN
			busy := busy || one;
		END IF;
	END LOOP;
	RETURN busy;
END $$;

-- enqueue stores jobs, and returns those that it does not store: duplicates with the ID of the job that
-- has the key, and, without patience, those whose key another transaction holds, without one. It locks no row of a key that
-- another job has: who removes that job would wait for the transaction.
CREATE FUNCTION batch.enqueue(
	database uuid, name text, patient boolean, ring boolean,
	levels smallint[], delays bigint[], ids text[], kinds text[], types text[], bodies bytea[],
	enqueued bigint[], expiries bigint[], attempts integer[], timeouts bigint[], heads text[],
	dedups text[], windows bigint[], grps text[]
) RETURNS TABLE (refused integer, duplicate_of text) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
	q integer;
	busy text[] := '{}';
	moment timestamptz;
	later bigint := 0;
BEGIN
	PERFORM 1 FROM batch.meta m WHERE m.identity = database;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'the transaction is of another database than the queue' USING ERRCODE = 'BA001';
	END IF;
	q := batch.enter(name);
	IF dedups IS NOT NULL THEN
		busy := batch.hold_keys(q, dedups, patient);
	END IF;
	moment := clock_timestamp();
	IF ring AND pg_notification_queue_usage() < 0.5 THEN -- a commit fails that finds no room for its notification
		PERFORM pg_notify('batch', name);
	END IF;
	IF dedups IS NULL THEN -- the same without keys, which is less work for the server
		INSERT INTO batch.jobs (seq, queue, state, level, pos, since, due, id, kind, content_type, body, enqueued_at, expires_at,
			max_attempts, timeout_ms, headers, grp)
		SELECT g.seq, q, CASE WHEN g.delay > 0 THEN 's' ELSE 'w' END, g.level, g.seq, moment,
			CASE WHEN g.delay > 0 THEN moment + g.delay * interval '1 millisecond' END,
			g.id, g.kind, g.content_type, g.body, g.enqueued_at, g.expires_at, g.max_attempts, g.timeout_ms, g.headers, g.grp
		FROM (
			SELECT nextval('batch.numbers') AS seq, t.* FROM unnest(levels, delays, ids, kinds, types, bodies, enqueued, expiries, attempts, timeouts, heads, grps)
				AS t (level, delay, id, kind, content_type, body, enqueued_at, expires_at, max_attempts, timeout_ms, headers, grp)
		) g;
		IF 0 < ANY (delays) THEN
			SELECT count(*) INTO later FROM unnest(delays) AS d WHERE d > 0;
		END IF;
		INSERT INTO batch.tallies (queue, waiting, scheduled) VALUES (q, cardinality(ids) - later, later);
		RETURN;
	END IF;
	RETURN QUERY
	WITH given AS MATERIALIZED (
		SELECT nextval('batch.numbers') AS seq, t.*
		FROM unnest(levels, delays, ids, kinds, types, bodies, enqueued, expiries, attempts, timeouts, heads, dedups, windows, grps)
			WITH ORDINALITY AS t (level, delay, id, kind, content_type, body, enqueued_at, expires_at, max_attempts, timeout_ms, headers, key, within, grp, n)
	), fresh AS (
		INSERT INTO batch.keys (queue, key, number, id, expires)
		SELECT q, g.key, g.seq, g.id, moment + g.within * interval '1 millisecond'
		FROM given g WHERE g.key IS NOT NULL AND g.key <> ALL (busy) ORDER BY g.key
		ON CONFLICT (queue, key) DO NOTHING
		RETURNING number
	), known AS MATERIALIZED (
		SELECT g.seq, o.id FROM given g CROSS JOIN LATERAL (
			SELECT k.id FROM batch.keys k WHERE k.queue = q AND k.key = g.key AND k.expires > moment OFFSET 0) o
		WHERE g.key IS NOT NULL AND g.seq NOT IN (SELECT number FROM fresh)
	), expired AS ( -- is there until it is forgotten
		INSERT INTO batch.keys AS k (queue, key, number, id, expires)
		SELECT q, g.key, g.seq, g.id, moment + g.within * interval '1 millisecond'
		FROM given g WHERE g.key IS NOT NULL AND g.key <> ALL (busy)
			AND g.seq NOT IN (SELECT number FROM fresh) AND g.seq NOT IN (SELECT seq FROM known) ORDER BY g.key
		ON CONFLICT (queue, key) DO UPDATE SET number = EXCLUDED.number, id = EXCLUDED.id, expires = EXCLUDED.expires
			WHERE k.expires <= moment
		RETURNING k.number
	), stored AS (
		INSERT INTO batch.jobs AS j (seq, queue, state, level, pos, since, due, id, kind, content_type, body, enqueued_at, expires_at,
			max_attempts, timeout_ms, headers, dedup_key, dedup_number, grp)
		SELECT g.seq, q, CASE WHEN g.delay > 0 THEN 's' ELSE 'w' END, g.level, g.seq, moment,
			CASE WHEN g.delay > 0 THEN moment + g.delay * interval '1 millisecond' END,
			g.id, g.kind, g.content_type, g.body, g.enqueued_at, g.expires_at, g.max_attempts, g.timeout_ms, g.headers,
			g.key, CASE WHEN g.key IS NOT NULL THEN g.seq END, g.grp
		FROM given g WHERE g.key IS NULL OR g.seq IN (SELECT number FROM fresh UNION ALL SELECT number FROM expired) ORDER BY g.n
		RETURNING j.seq, j.state
	), counted AS (
		INSERT INTO batch.tallies (queue, waiting, scheduled)
		SELECT q, count(*) FILTER (WHERE s.state = 'w'), count(*) FILTER (WHERE s.state = 's') FROM stored s HAVING count(*) > 0
	)
	SELECT g.n::integer, k.id FROM given g LEFT JOIN known k ON k.seq = g.seq
	WHERE g.key IS NOT NULL AND g.seq NOT IN (SELECT s.seq FROM stored s);
END $$;
