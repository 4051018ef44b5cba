-- What an organisation may say of itself, and how much of the engine it may use.
ALTER TABLE organisations
    ADD COLUMN instructions text NOT NULL DEFAULT '' CHECK (length(instructions) <= 8000),
    ADD COLUMN etag text NOT NULL DEFAULT gen_random_uuid()::text,
    ADD COLUMN sessions_max integer NOT NULL DEFAULT 0 CHECK (sessions_max >= 0),
    ADD COLUMN calls_per_minute integer NOT NULL DEFAULT 0 CHECK (calls_per_minute >= 0);
COMMENT ON COLUMN organisations.instructions IS 'business rules and persona: part of every prompt of a language model';
COMMENT ON COLUMN organisations.etag IS 'differs after every change';
COMMENT ON COLUMN organisations.sessions_max IS 'calls live at once; 0 is no limit of its own';
COMMENT ON COLUMN organisations.calls_per_minute IS 'calls made in any 60 s; 0 is no limit of its own';

-- The operator lists organisations before one of them is chosen. The function runs as the owner, who is under the
-- forced policy too: this second policy is for it alone, and only in a transaction of this function. It tells ids; the
-- rest is read inside each organisation.
CREATE POLICY listing ON organisations FOR SELECT TO CURRENT_USER
    USING (current_setting('app.listing', true) = 'on');
CREATE FUNCTION list_organisations(after uuid, at_most bigint) RETURNS TABLE (id uuid)
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = parlance, pg_temp
    AS $$
        SELECT set_config('app.listing', 'on', true);
        SELECT o.id FROM organisations o WHERE after IS NULL OR o.id > after ORDER BY o.id LIMIT at_most
    $$;
REVOKE ALL ON FUNCTION list_organisations(uuid, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION list_organisations(uuid, bigint) TO parlance_engine;
