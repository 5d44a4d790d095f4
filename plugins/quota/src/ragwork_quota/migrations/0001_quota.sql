-- kind: expand
GRANT USAGE ON SCHEMA quota TO ragwork_app;

-- What a tenant may use. No row: what its plan says. NULL: no limit; 0: nothing at all.
CREATE TABLE quota.limits (
    tenant_id text PRIMARY KEY,
    daily_requests_limit bigint CHECK (daily_requests_limit >= 0),
    monthly_requests_limit bigint CHECK (monthly_requests_limit >= 0),
    daily_tokens_limit bigint CHECK (daily_tokens_limit >= 0),
    monthly_tokens_limit bigint CHECK (monthly_tokens_limit >= 0),
    soft_cap_ratio numeric NOT NULL CHECK (soft_cap_ratio BETWEEN 0 AND 1),
    hard_cap_enabled boolean NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- One row per account and period of UTC. "used" is settled and reserved; "version" grows with each change.
-- The row is rewritten by every charge: room on its page keeps that cheap.
CREATE TABLE quota.balances (
    tenant_id text NOT NULL,
    account text NOT NULL CHECK (account <> '' AND char_length(account) <= 128),
    period text NOT NULL CHECK (period IN ('day', 'month')),
    starts_on date NOT NULL,
    used numeric NOT NULL DEFAULT 0 CHECK (used BETWEEN 0 AND 1e30),
    version bigint NOT NULL DEFAULT 0,
    soft_noted boolean NOT NULL DEFAULT false,
    overage_noted boolean NOT NULL DEFAULT false,
    block_noted boolean NOT NULL DEFAULT false,
    sampled_at timestamptz,
    PRIMARY KEY (tenant_id, account, period, starts_on)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 500);

-- How many requests were admitted, for dashboards; the quota counts their units above.
CREATE TABLE quota.requests (
    tenant_id text NOT NULL,
    day date NOT NULL,
    rate_class text NOT NULL,
    admitted bigint NOT NULL,
    PRIMARY KEY (tenant_id, day, rate_class)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 500);

-- The three arrays name the balances that hold "amount", one place each.
CREATE TABLE quota.reservations (
    tenant_id text NOT NULL,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    accounts text[] NOT NULL,
    periods text[] NOT NULL,
    starts date[] NOT NULL,
    amount numeric NOT NULL CHECK (amount BETWEEN 0 AND 1e30),
    expires_at timestamptz NOT NULL,
    started boolean NOT NULL DEFAULT false,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX reservations_expiring ON quota.reservations (tenant_id, expires_at);

ALTER TABLE quota.limits ENABLE ROW LEVEL SECURITY;
ALTER TABLE quota.limits FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON quota.limits FOR ALL
    USING (tenant_id = ragwork.tenant()) WITH CHECK (tenant_id = ragwork.tenant());
ALTER TABLE quota.balances ENABLE ROW LEVEL SECURITY;
ALTER TABLE quota.balances FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON quota.balances FOR ALL
    USING (tenant_id = ragwork.tenant()) WITH CHECK (tenant_id = ragwork.tenant());
ALTER TABLE quota.requests ENABLE ROW LEVEL SECURITY;
ALTER TABLE quota.requests FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON quota.requests FOR ALL
    USING (tenant_id = ragwork.tenant()) WITH CHECK (tenant_id = ragwork.tenant());
ALTER TABLE quota.reservations ENABLE ROW LEVEL SECURITY;
ALTER TABLE quota.reservations FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON quota.reservations FOR ALL
    USING (tenant_id = ragwork.tenant()) WITH CHECK (tenant_id = ragwork.tenant());
GRANT SELECT, INSERT, UPDATE, DELETE
    ON quota.limits, quota.balances, quota.requests, quota.reservations TO ragwork_app;

-- The clock of every period. Its own function so that a test can stand on a month's last second.
CREATE FUNCTION quota.now() RETURNS timestamptz LANGUAGE sql STABLE RETURN pg_catalog.now();

CREATE FUNCTION quota.today() RETURNS date LANGUAGE sql STABLE
    RETURN (quota.now() AT TIME ZONE 'UTC')::date;

CREATE FUNCTION quota.start_of(period text, day date) RETURNS date LANGUAGE sql IMMUTABLE
    RETURN CASE period WHEN 'month' THEN day - (EXTRACT(day FROM day)::int - 1) ELSE day END;

-- The balance, made when new, held until the transaction ends. Whoever holds several takes them in the
-- order of account and period, months first.
CREATE FUNCTION quota.locked(of_account text, of_period text, from_day date) RETURNS quota.balances
    LANGUAGE plpgsql AS $$
DECLARE
    held quota.balances;
BEGIN
    SELECT * INTO held FROM quota.balances b
        WHERE b.tenant_id = ragwork.tenant() AND b.account = of_account AND b.period = of_period
          AND b.starts_on = from_day
        FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        INSERT INTO quota.balances (tenant_id, account, period, starts_on)
            VALUES (ragwork.tenant(), of_account, of_period, from_day) ON CONFLICT DO NOTHING;
        SELECT * INTO STRICT held FROM quota.balances b
            WHERE b.tenant_id = ragwork.tenant() AND b.account = of_account AND b.period = of_period
              AND b.starts_on = from_day
            FOR NO KEY UPDATE;
    END IF;
    RETURN held;
END $$;

CREATE FUNCTION quota.count_requests(on_day date, classes text[], counts bigint[]) RETURNS void
    LANGUAGE sql VOLATILE AS $$
    INSERT INTO quota.requests AS r (tenant_id, day, rate_class, admitted)
        SELECT ragwork.tenant(), on_day, c.name, c.admitted
          FROM unnest(classes, counts) AS c (name, admitted) WHERE c.admitted <> 0
        ON CONFLICT (tenant_id, day, rate_class) DO UPDATE SET admitted = r.admitted + EXCLUDED.admitted
$$;

-- Units of one day that were charged and not used, and requests to be counted in or (negative) out of it.
CREATE FUNCTION quota.give_back(
    charged_on date, units bigint, classes text[], counts bigint[],
    OUT month_used numeric, OUT day_used numeric, OUT version bigint
)
    LANGUAGE plpgsql AS $$
DECLARE
    at_month CONSTANT quota.balances := quota.locked('requests', 'month', quota.start_of('month', charged_on));
    at_day CONSTANT quota.balances := quota.locked('requests', 'day', charged_on);
BEGIN
    UPDATE quota.balances b
       SET used = GREATEST(0, b.used - units), version = b.version + 1
     WHERE b.tenant_id = ragwork.tenant() AND b.account = 'requests'
       AND (b.period, b.starts_on) IN (('month', at_month.starts_on), ('day', at_day.starts_on));
    PERFORM quota.count_requests(charged_on, classes, counts);
    month_used := GREATEST(0, at_month.used - units);
    day_used := GREATEST(0, at_day.used - units);
    version := at_month.version + 1;
END $$;

-- Charge "cost" units to day and month or to neither. With "block", more units are charged as a lease when the
-- tenant stays "margin" units below every cap. The "back_" values return what is left of an earlier lease; the
-- "plan_" values are the limits of a tenant without a row of its own.
CREATE FUNCTION quota.charge(
    cost bigint, of_class text, block bigint, margin bigint,
    back_day date, back_units bigint, back_classes text[], back_counts bigint[],
    plan_day bigint, plan_month bigint, plan_ratio numeric, plan_hard boolean,
    OUT refused text, OUT leased bigint, OUT at timestamptz, OUT day date, OUT day_ends_s float8,
    OUT day_used bigint, OUT month_used bigint, OUT version bigint,
    OUT day_limit bigint, OUT month_limit bigint, OUT soft_ratio numeric, OUT hard_cap boolean,
    OUT crossed text[], OUT overran text[], OUT sampled boolean
)
    LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    own quota.limits;
    month date;
    held quota.balances;
    at_month quota.balances;
    at_day quota.balances;
    taken bigint := 0;
    near numeric;
BEGIN
    at := quota.now();
    day := quota.today();
    month := quota.start_of('month', day);
    day_ends_s := EXTRACT(epoch FROM ((day + 1)::timestamp AT TIME ZONE 'UTC') - at);
    IF back_day IS NOT NULL THEN
        PERFORM quota.give_back(back_day, back_units, back_classes, back_counts);
    END IF;
    -- The first charge of a period makes its balance; all others find both in one go, the month locked first.
    FOR held IN
        SELECT * FROM quota.balances b
         WHERE b.tenant_id = ragwork.tenant() AND b.account = 'requests'
           AND (b.period, b.starts_on) IN (('month', month), ('day', day))
         ORDER BY b.period DESC FOR NO KEY UPDATE
    LOOP
        IF held.period = 'month' THEN at_month := held; ELSE at_day := held; END IF;
    END LOOP;
    IF at_month.period IS NULL OR at_day.period IS NULL THEN
        at_month := quota.locked('requests', 'month', month);
        at_day := quota.locked('requests', 'day', day);
    END IF;
    -- Read behind the lock: charges that waited for one another see a limit as soon as it is changed.
    SELECT * INTO own FROM quota.limits l WHERE l.tenant_id = ragwork.tenant();
    IF FOUND THEN
        day_limit := own.daily_requests_limit;
        month_limit := own.monthly_requests_limit;
        soft_ratio := own.soft_cap_ratio;
        hard_cap := own.hard_cap_enabled;
    ELSE
        day_limit := plan_day;
        month_limit := plan_month;
        soft_ratio := plan_ratio;
        hard_cap := plan_hard;
    END IF;
    IF cost > 0 AND hard_cap THEN
        refused := CASE WHEN at_month.used + cost > month_limit THEN 'month'
                        WHEN at_day.used + cost > day_limit THEN 'day' END;
    END IF;
    leased := 0;
    crossed := '{}';
    overran := '{}';
    sampled := false;
    IF cost > 0 AND refused IS NULL THEN
        -- Comparing with an absent limit gives NULL, which LEAST passes over: an absent limit is never near.
        near := LEAST(soft_ratio * month_limit - at_month.used, soft_ratio * day_limit - at_day.used);
        IF near IS NULL OR near > cost + block + margin THEN
            leased := block;
        END IF;
        taken := cost + leased;
        crossed := array_remove(ARRAY[
            CASE WHEN NOT at_month.soft_noted AND at_month.used + taken >= soft_ratio * month_limit THEN 'month' END,
            CASE WHEN NOT at_day.soft_noted AND at_day.used + taken >= soft_ratio * day_limit THEN 'day' END], NULL);
        overran := array_remove(ARRAY[
            CASE WHEN NOT at_month.overage_noted AND at_month.used + taken > month_limit THEN 'month' END,
            CASE WHEN NOT at_day.overage_noted AND at_day.used + taken > day_limit THEN 'day' END], NULL);
        sampled := at_day.sampled_at IS NULL OR at >= at_day.sampled_at + interval '1 hour';
        UPDATE quota.balances b
           SET used = b.used + taken,
               version = b.version + 1,
               soft_noted = b.soft_noted OR b.period = ANY (crossed),
               overage_noted = b.overage_noted OR b.period = ANY (overran),
               sampled_at = CASE WHEN sampled THEN at ELSE b.sampled_at END
         WHERE b.tenant_id = ragwork.tenant() AND b.account = 'requests'
           AND (b.period, b.starts_on) IN (('month', month), ('day', day));
        INSERT INTO quota.requests AS r (tenant_id, day, rate_class, admitted)
            VALUES (ragwork.tenant(), day, of_class, 1)
            ON CONFLICT ON CONSTRAINT requests_pkey DO UPDATE SET admitted = r.admitted + 1;
    END IF;
    day_used := at_day.used + taken;
    month_used := at_month.used + taken;
    version := at_month.version + CASE WHEN taken > 0 THEN 1 ELSE 0 END;
END $$;

-- Whether this is the period's first refusal.
CREATE FUNCTION quota.note_block(of_period text, from_day date) RETURNS boolean
    LANGUAGE plpgsql AS $$
DECLARE
    held CONSTANT quota.balances := quota.locked('requests', of_period, from_day);
BEGIN
    IF NOT held.block_noted THEN
        UPDATE quota.balances b SET block_noted = true
         WHERE b.tenant_id = ragwork.tenant() AND b.account = 'requests' AND b.period = of_period
           AND b.starts_on = from_day;
    END IF;
    RETURN NOT held.block_noted;
END $$;

-- What a balance holds for reservations that expired before their work started: it counts as free at once.
CREATE FUNCTION quota.lapsed(of_account text, of_period text, from_day date) RETURNS numeric
    LANGUAGE sql STABLE AS $$
    SELECT COALESCE(sum(r.amount), 0)
      FROM quota.reservations r, unnest(r.accounts, r.periods, r.starts) AS held (account, period, starts_on)
     WHERE r.tenant_id = ragwork.tenant() AND NOT r.started AND r.expires_at <= quota.now()
       AND (held.account, held.period, held.starts_on) = (of_account, of_period, from_day)
$$;

-- Hold "amount" in every account or in none; NULL when it would pass a limit.
CREATE FUNCTION quota.reserve(of_accounts text[], of_periods text[], limits numeric[], amount numeric, ttl interval)
    RETURNS uuid
    LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    wanted record;
    held quota.balances;
    made uuid;
    from_days date[] := ARRAY(SELECT quota.start_of(p, quota.today()) FROM unnest(of_periods) AS p);
BEGIN
    FOR wanted IN
        SELECT w.account, w.period, w.most, w.from_day
          FROM unnest(of_accounts, of_periods, limits, from_days) AS w (account, period, most, from_day)
         ORDER BY w.account, w.period DESC
    LOOP
        held := quota.locked(wanted.account, wanted.period, wanted.from_day);
        IF held.used + amount > wanted.most
           AND held.used + amount - quota.lapsed(wanted.account, wanted.period, wanted.from_day) > wanted.most
        THEN
            RETURN NULL;
        END IF;
    END LOOP;
    UPDATE quota.balances b SET used = b.used + amount, version = b.version + 1
      FROM unnest(of_accounts, of_periods, from_days) AS w (account, period, from_day)
     WHERE b.tenant_id = ragwork.tenant()
       AND (b.account, b.period, b.starts_on) = (w.account, w.period, w.from_day);
    INSERT INTO quota.reservations AS r (tenant_id, accounts, periods, starts, amount, expires_at)
        VALUES (ragwork.tenant(), of_accounts, of_periods, from_days, amount, quota.now() + ttl)
        RETURNING r.id INTO made;
    RETURN made;
END $$;

-- Change balances by differences, in the order in which all balances are taken.
CREATE FUNCTION quota.correct(of_accounts text[], of_periods text[], from_days date[], differences numeric[])
    RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    one record;
BEGIN
    FOR one IN
        SELECT c.account, c.period, c.from_day, sum(c.difference) AS difference
          FROM unnest(of_accounts, of_periods, from_days, differences) AS c (account, period, from_day, difference)
         GROUP BY c.account, c.period, c.from_day ORDER BY c.account, c.period DESC, c.from_day
    LOOP
        UPDATE quota.balances b SET used = b.used + one.difference, version = b.version + 1
         WHERE b.tenant_id = ragwork.tenant()
           AND (b.account, b.period, b.starts_on) = (one.account, one.period, one.from_day);
    END LOOP;
END $$;

-- Replace a reservation by what was used; false when it is gone.
CREATE FUNCTION quota.settle(reservation uuid, amount numeric) RETURNS boolean
    LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    was quota.reservations;
BEGIN
    DELETE FROM quota.reservations r WHERE r.tenant_id = ragwork.tenant() AND r.id = reservation
        RETURNING r.* INTO was;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM quota.correct(was.accounts, was.periods, was.starts,
        array_fill(amount - was.amount, ARRAY[cardinality(was.accounts)]));
    RETURN true;
END $$;

-- End what has expired: started work is settled at its reserve, the rest given back. How many there were.
CREATE FUNCTION quota.expire() RETURNS bigint
    LANGUAGE plpgsql AS $$
DECLARE
    ended bigint;
BEGIN
    WITH gone AS (
        DELETE FROM quota.reservations r
         WHERE r.tenant_id = ragwork.tenant() AND r.expires_at <= quota.now()
        RETURNING r.id, r.accounts, r.periods, r.starts, CASE WHEN r.started THEN 0 ELSE -r.amount END AS difference
    ), corrected AS (
        SELECT quota.correct(array_agg(h.account), array_agg(h.period), array_agg(h.starts_on),
                   array_agg(g.difference)) AS done
          FROM gone g, unnest(g.accounts, g.periods, g.starts) AS h (account, period, starts_on)
         WHERE g.difference <> 0
    )
    SELECT count(*) INTO ended FROM gone, (SELECT count(done) FROM corrected) AS c;
    RETURN ended;
END $$;
