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
