DROP INDEX calls_by_agent_and_time;
DROP INDEX journal_turn_latencies;
ALTER TABLE journal DROP COLUMN turn_latency_ms;
