//! Resource names: `agents/{agent}` and `calls/{call}`, parsed once and strictly.

use parlance_store::{AgentId, CallId};

use crate::status::{Refusal, Violations};

/// The agent of `agents/{agent}` in `field`.
pub fn agent(field: &str, name: &str) -> Result<AgentId, Refusal> {
    match name.strip_prefix("agents/").and_then(|id| AgentId::parse(id).ok()) {
        Some(id) => Ok(id),
        None => Err(wrong(field, name, "agents/{agent}, where {agent} matches [a-z0-9-]{1,63}")),
    }
}

/// The call of `calls/{call}` in `field`.
pub fn call(field: &str, name: &str) -> Result<CallId, Refusal> {
    match name.strip_prefix("calls/").and_then(|id| id.parse().ok()) {
        Some(id) => Ok(id),
        None => Err(wrong(field, name, "calls/{call}, where {call} is a UUID")),
    }
}

/// An agent id made from a display name: lower case, other characters as dashes.
pub fn slug(display_name: &str) -> String {
    let mut slug = String::new();
    for letter in display_name.to_lowercase().chars() {
        match letter {
            'a'..='z' | '0'..='9' => slug.push(letter),
            _ if !slug.is_empty() && !slug.ends_with('-') => slug.push('-'),
            _ => {}
        }
    }
    slug.truncate(63);
    slug.trim_end_matches('-').to_owned()
}

fn wrong(field: &str, name: &str, form: &str) -> Refusal {
    let why = if name.is_empty() { format!("is required: {form}") } else { format!("must be {form}") };
    Violations::one(field, why).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_is_made_of_whatever_people_call_their_agent() {
        assert_eq!(slug("Luigi's  Front Desk!"), "luigi-s-front-desk");
        assert_eq!(slug("日本"), "");
        assert!(AgentId::parse(&slug(&"Very long name ".repeat(20))).is_ok());
    }

    #[test]
    fn names_of_another_kind_are_refused_by_field() {
        for name in ["", "restaurant", "agents/", "agents/Über", "calls/1", "agents/a/b"] {
            assert!(matches!(agent("name", name), Err(Refusal::Invalid(_))), "{name}");
        }
        assert!(matches!(call("name", "calls/42"), Err(Refusal::Invalid(_))));
    }
}
