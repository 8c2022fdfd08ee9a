-- Functions of version 1 that hand out jobs.

-- bring makes ready what is due: jobs that were held back, and those whose holders vanished.
CREATE FUNCTION batch.bring(q integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	moment timestamptz := clock_timestamp();
BEGIN
	WITH late AS MATERIALIZED (
		SELECT j.seq, j.state, j.due FROM batch.jobs j
		WHERE j.queue = q AND j.state IN ('s', 'r') AND j.due <= moment
		ORDER BY j.due LIMIT 1000 FOR UPDATE SKIP LOCKED
	), numbered AS MATERIALIZED (
		SELECT l.seq, l.state, nextval('batch.numbers') AS number FROM late l
	), ready AS (
		UPDATE batch.jobs j SET
			state = 'w', due = NULL, token = NULL,
			since = CASE WHEN n.state = 's' THEN j.due ELSE moment END,
			pos = CASE WHEN n.state = 's' AND j.grp IS NULL THEN n.number ELSE j.pos END,
			lost = j.lost + CASE WHEN n.state = 'r' THEN 1 ELSE 0 END
		FROM numbered n WHERE j.seq = n.seq
		RETURNING n.state
	)
	INSERT INTO batch.tallies (queue, waiting, scheduled, running)
	SELECT q, count(*), -count(*) FILTER (WHERE r.state = 's'), -count(*) FILTER (WHERE r.state = 'r') FROM ready r HAVING count(*) > 0;
END $$;

-- claim decides which of some jobs of groups, whose rows are locked, may be handed out: the first of its
-- group, if none of the group is running or comes back. The others wait behind it, and are not looked at
-- again before go_on. Whoever decides on a group holds its lock.
CREATE FUNCTION batch.claim(q integer, seqs bigint[]) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
	one record;
	free bigint[] := '{}';
BEGIN
	FOR one IN SELECT j.seq, j.grp FROM batch.jobs j WHERE j.seq = ANY (seqs) ORDER BY hashtext(q || ':' || j.grp), j.seq LOOP
		PERFORM pg_advisory_xact_lock(('batch.claims'::regclass::oid::bigint - 2147483648)::integer, hashtext(q || ':' || one.grp));
		IF EXISTS (SELECT 1 FROM batch.jobs e WHERE e.queue = q AND e.grp = one.grp AND e.seq < one.seq)
			OR EXISTS (SELECT 1 FROM batch.claims c JOIN batch.jobs e ON e.seq = c.seq WHERE c.queue = q AND c.grp = one.grp AND c.seq <> one.seq)
		THEN
			UPDATE batch.jobs j SET state = 'b' WHERE j.seq = one.seq;
		ELSE
			INSERT INTO batch.claims AS c (queue, grp, seq) VALUES (q, one.grp, one.seq)
			ON CONFLICT (queue, grp) DO UPDATE SET seq = EXCLUDED.seq;
			free := free || one.seq;
		END IF;
	END LOOP;
	RETURN free;
END $$;

-- go_on makes the next job ready of groups of which one is done, dead or removed.
CREATE FUNCTION batch.go_on(q integer, grps text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	one text;
BEGIN
	FOR one IN SELECT DISTINCT g COLLATE "C", hashtext(q || ':' || g) FROM unnest(grps) AS g ORDER BY 2, 1 LOOP
		PERFORM pg_advisory_xact_lock(('batch.claims'::regclass::oid::bigint - 2147483648)::integer, hashtext(q || ':' || one));
		DELETE FROM batch.claims c WHERE c.queue = q AND c.grp = one AND NOT EXISTS (SELECT 1 FROM batch.jobs j WHERE j.seq = c.seq);
		UPDATE batch.jobs j SET state = 'w', since = clock_timestamp()
		WHERE j.state = 'b' AND j.seq = (SELECT e.seq FROM batch.jobs e WHERE e.queue = q AND e.grp = one ORDER BY e.seq LIMIT 1);
	END LOOP;
END $$;

-- follow lets the groups go on of which transactions of the application have completed jobs.
CREATE FUNCTION batch.follow(name text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	q integer := (SELECT x.id FROM batch.queues x WHERE x.name = follow.name);
	grps text[];
BEGIN
	WITH picked AS MATERIALIZED (
		SELECT e.ctid AS place FROM batch.ended e WHERE e.queue = q LIMIT 1000 FOR UPDATE SKIP LOCKED
	), gone AS (
		DELETE FROM batch.ended e USING picked p WHERE e.ctid = p.place RETURNING e.grp
	)
	SELECT array_agg(DISTINCT g.grp) INTO grps FROM gone g;
	PERFORM batch.go_on(q, coalesce(grps, '{}'));
END $$;

-- take hands out jobs of a queue, the highest level first. While a queue is paused it hands out none. A connection
-- keeps the plans that it made when there were few jobs, until the table is analyzed: so it uses the indexes
-- from the beginning.
CREATE FUNCTION batch.take(name text, most integer, lease interval) RETURNS SETOF batch.jobs LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
	q integer;
	stopped boolean;
	free bigint[];
	bound bigint[];
	number bigint;
BEGIN
	SELECT x.id INTO q FROM batch.queues x WHERE x.name = take.name;
	IF q IS NOT NULL THEN
		-- Pause and the deletion of the queue wait for it.
		PERFORM pg_advisory_xact_lock_shared(('batch.queues'::regclass::oid::bigint - 2147483648)::integer, q);
		SELECT x.paused INTO stopped FROM batch.queues x WHERE x.id = q;
	END IF;
	IF stopped IS NULL THEN
		RAISE EXCEPTION 'the queue does not exist' USING ERRCODE = 'BA404';
	END IF;
	PERFORM batch.bring(q);
	IF stopped THEN
		RETURN;
	END IF;
	SELECT array_agg(p.seq) FILTER (WHERE p.grp IS NULL), array_agg(p.seq) FILTER (WHERE p.grp IS NOT NULL) INTO free, bound
	FROM (
		SELECT j.seq, j.grp FROM batch.jobs j WHERE j.queue = q AND j.state = 'w'
		ORDER BY j.level DESC, j.pos LIMIT most FOR UPDATE SKIP LOCKED
	) p;
	IF bound IS NOT NULL THEN
		free := free || batch.claim(q, bound);
	END IF;
	IF free IS NULL OR free = '{}' THEN
		RETURN;
	END IF;
	number := nextval('batch.numbers');
	INSERT INTO batch.tallies (queue, waiting, running) VALUES (q, -cardinality(free), cardinality(free));
	RETURN QUERY
	WITH taken AS (
		UPDATE batch.jobs j SET state = 'r', token = number, due = clock_timestamp() + lease, deliveries = j.deliveries + 1
		WHERE j.seq = ANY (free) RETURNING j.*
	)
	SELECT * FROM taken t ORDER BY t.level DESC, t.pos;
END $$;

-- look_ahead tells whether jobs of a queue may be handed out at once, whether groups are to go on, and in how many
-- milliseconds the next job that is held back or held becomes ready. It returns nothing of a queue that is not there.
-- What was due before the transaction began, take has brought, unless another has its row: a transaction of the application
-- that completes a job, for longer than the lease. A look as soon as that is due would follow upon the other.
CREATE FUNCTION batch.look_ahead(name text) RETURNS TABLE (more boolean, ended boolean, next bigint) LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$ -- as take
BEGIN
	RETURN QUERY SELECT
		NOT q.paused AND EXISTS (SELECT 1 FROM batch.jobs j WHERE j.queue = q.id AND j.state = 'w'),
		EXISTS (SELECT 1 FROM batch.ended e WHERE e.queue = q.id),
		(extract(epoch FROM (SELECT min(j.due) FROM batch.jobs j WHERE j.queue = q.id AND j.state IN ('s', 'r') AND j.due > now()) - clock_timestamp()) * 1000)::bigint
	FROM batch.queues q WHERE q.name = look_ahead.name;
END $$;
