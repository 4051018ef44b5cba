//! The models that are used where nobody names one: one table, dated, because vendors retire models.

/// When the table was last gone through.
pub const AS_OF: &str = "2026-11";

/// The default model of each service, by its registered name. The server's settings replace them
/// (`OPENAI_MODEL` and the like); agents name their own.
pub const DEFAULTS: &[(&str, &str)] = &[
    // Small and quick ones, that do not think before the first word.
    ("openai", "gpt-4.1-mini"),
    ("openai-responses", "gpt-4.1-mini"),
    ("anthropic", "claude-haiku-4-5"),
    ("gemini", "gemini-3.8-flash"),
];

/// The default model of a service; empty where it has none.
pub fn default_of(service: &str) -> &'static str {
    DEFAULTS.iter().find(|(name, _)| *name == service).map_or("", |(_, model)| model)
}

/// The default model of each service that speaks, by its registered name: vendors give services of different kinds the
/// same name.
pub const SPEAKING: &[(&str, &str)] = &[
    ("elevenlabs", "eleven_flash_v2_5"),
    ("elevenlabs-http", "eleven_flash_v2_5"),
    ("cartesia", "sonic-3.5"),
    // Announced to end on 2027-01-06; no successor was named by then.
    ("openai", "gpt-4o-mini-tts"),
];

/// The default model of a service that speaks; empty where its voices are its models.
pub fn speaking_default_of(service: &str) -> &'static str {
    SPEAKING.iter().find(|(name, _)| *name == service).map_or("", |(_, model)| model)
}

/// The default model of each transcriber, by its registered name.
pub const LISTENING: &[(&str, &str)] = &[
    ("deepgram", "nova-3"),
    ("deepgram-flux", "flux-general-en"),
    ("openai", "gpt-transcribe"),
    ("openai-realtime", "gpt-realtime-whisper"),
    ("elevenlabs", "scribe_v2_realtime"),
    ("cartesia", "ink-2"),
];

/// The default model of a transcriber; empty where it has none.
pub fn listening_default_of(service: &str) -> &'static str {
    LISTENING.iter().find(|(name, _)| *name == service).map_or("", |(_, model)| model)
}
