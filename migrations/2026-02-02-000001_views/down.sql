DROP VIEW IF EXISTS conversations;
DROP VIEW IF EXISTS transcripts;
