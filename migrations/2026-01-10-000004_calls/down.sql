DROP TABLE transcript_entries;
DROP TABLE journal;
DROP TABLE calls;
