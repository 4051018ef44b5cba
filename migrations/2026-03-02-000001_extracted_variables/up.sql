-- What tools of the agent have kept of what was said.
ALTER TABLE calls
    ADD COLUMN extracted_variables jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(extracted_variables) = 'object');
