-- What agents are told apart by in lists. All else about an agent stays in its settings.
ALTER TABLE agents
    ADD COLUMN state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'inactive')),
    ADD COLUMN labels jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(labels) = 'object');
COMMENT ON COLUMN agents.state IS 'an inactive agent takes no calls';
