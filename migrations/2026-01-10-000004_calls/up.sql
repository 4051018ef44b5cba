-- A call, its journal and its transcript. The pair (organisation_id, id) is a key so that every row that
-- hangs on a call names the same organisation as the call does.
CREATE TABLE calls (
    id uuid PRIMARY KEY,
    organisation_id uuid NOT NULL REFERENCES organisations ON DELETE CASCADE,
    agent_id text NOT NULL,
    agent_display_name text NOT NULL,
    call_type text NOT NULL CHECK (call_type IN ('web', 'phone')),
    direction text NOT NULL CHECK (direction IN ('inbound', 'outbound')),
    state text NOT NULL CHECK (state IN ('created', 'ongoing', 'ended')),
    create_time timestamptz NOT NULL DEFAULT now(),
    start_time timestamptz,
    end_time timestamptz,
    end_reason text,
    end_message text,
    dynamic_variables jsonb NOT NULL DEFAULT '{}',
    recording_path text,
    UNIQUE (organisation_id, id),
    CHECK ((state = 'ended') = (end_time IS NOT NULL AND end_reason IS NOT NULL))
);
COMMENT ON COLUMN calls.id IS 'UUID version 7: newest first is the order of the ids, backwards';
CREATE INDEX calls_by_agent ON calls (organisation_id, agent_id, id);
CREATE INDEX calls_unfinished ON calls (organisation_id, id) WHERE state <> 'ended';
ALTER TABLE calls ENABLE ROW LEVEL SECURITY;
ALTER TABLE calls FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON calls
    USING (organisation_id = NULLIF(current_setting('app.organization', true), '')::uuid)
    WITH CHECK (organisation_id = NULLIF(current_setting('app.organization', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE ON calls TO parlance_engine;

-- Append-only: the engine holds no right to change or delete an entry.
CREATE TABLE journal (
    organisation_id uuid NOT NULL,
    call_id uuid NOT NULL,
    journal_offset bigint NOT NULL CHECK (journal_offset >= 0),
    at_us bigint NOT NULL,
    kind text NOT NULL,
    payload jsonb NOT NULL,
    PRIMARY KEY (call_id, journal_offset),
    FOREIGN KEY (organisation_id, call_id) REFERENCES calls (organisation_id, id) ON DELETE CASCADE
);
COMMENT ON COLUMN journal.at_us IS 'microseconds on the clock of the call';
ALTER TABLE journal ENABLE ROW LEVEL SECURITY;
ALTER TABLE journal FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON journal
    USING (organisation_id = NULLIF(current_setting('app.organization', true), '')::uuid)
    WITH CHECK (organisation_id = NULLIF(current_setting('app.organization', true), '')::uuid);
GRANT SELECT, INSERT ON journal TO parlance_engine;

CREATE TABLE transcript_entries (
    organisation_id uuid NOT NULL,
    call_id uuid NOT NULL,
    sequence integer NOT NULL CHECK (sequence >= 0),
    role text NOT NULL CHECK (role IN ('caller', 'agent')),
    text text NOT NULL,
    unheard_text text NOT NULL DEFAULT '',
    start_us bigint NOT NULL,
    end_us bigint NOT NULL,
    words jsonb NOT NULL DEFAULT '[]',
    words_estimated boolean NOT NULL DEFAULT false,
    interrupted_us bigint,
    typed boolean NOT NULL DEFAULT false,
    turn_id integer,
    reply_id integer,
    PRIMARY KEY (call_id, sequence),
    FOREIGN KEY (organisation_id, call_id) REFERENCES calls (organisation_id, id) ON DELETE CASCADE
);
COMMENT ON COLUMN transcript_entries.text IS 'of the agent: only what the caller heard';
ALTER TABLE transcript_entries ENABLE ROW LEVEL SECURITY;
ALTER TABLE transcript_entries FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON transcript_entries
    USING (organisation_id = NULLIF(current_setting('app.organization', true), '')::uuid)
    WITH CHECK (organisation_id = NULLIF(current_setting('app.organization', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE ON transcript_entries TO parlance_engine;
