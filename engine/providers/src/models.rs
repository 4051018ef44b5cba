//! The models that are used where nobody names one: one table, dated, because vendors retire models.

use crate::registry::Kind;

/// When the table was last gone through.
pub const AS_OF: &str = "2026-11";

/// The default model of each service. The server's settings replace them (`OPENAI_MODEL` and the like); agents name
/// their own. A voice service that is not listed has voices that are its models.
pub const DEFAULTS: &[(Kind, &str, &str)] = &[
    (Kind::Stt, "deepgram", "nova-3"),
    (Kind::Stt, "deepgram-flux", "flux-general-en"),
    (Kind::Stt, "openai", "gpt-transcribe"),
    (Kind::Stt, "openai-realtime", "gpt-realtime-whisper"),
    (Kind::Stt, "elevenlabs", "scribe_v2_realtime"),
    (Kind::Stt, "cartesia", "ink-2"),
    // Small and quick ones, that do not think before the first word.
    (Kind::Llm, "openai", "gpt-4.1-mini"),
    (Kind::Llm, "openai-responses", "gpt-4.1-mini"),
    (Kind::Llm, "anthropic", "claude-haiku-4-5"),
    (Kind::Llm, "gemini", "gemini-3.8-flash"),
    (Kind::Tts, "elevenlabs", "eleven_flash_v2_5"),
    (Kind::Tts, "elevenlabs-http", "eleven_flash_v2_5"),
    (Kind::Tts, "cartesia", "sonic-3.5"),
    // Announced to end on 2027-01-06; no successor was named by then.
    (Kind::Tts, "openai", "gpt-4o-mini-tts"),
];

/// The default model of a service; empty where it has none.
pub fn default_of(kind: Kind, service: &str) -> &'static str {
    let found = DEFAULTS.iter().find(|(of, name, _)| *of == kind && *name == service);
    found.map_or("", |(_, _, model)| model)
}
