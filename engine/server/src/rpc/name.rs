//! Resource names: `agents/{agent}`, `calls/{call}` and their like, parsed once and strictly.

use parlance_store::{AgentId, AppointmentId, CallId, KeyId, OrganisationId, PhoneNumberId, ResourceId};

use crate::status::{Refusal, Violations};

const AGENT: &str = "agents/{agent}, where {agent} matches [a-z0-9-]{1,63}";
const API_KEY: &str = "apiKeys/{api_key}, where {api_key} is a UUID";
const CALL: &str = "calls/{call}, where {call} is a UUID";
const RESOURCE: &str = "resources/{resource}, where {resource} is a UUID";

/// The agent of `agents/{agent}` in `field`.
pub fn agent(field: &str, name: &str) -> Result<AgentId, Refusal> {
    parse("agents/", name).ok_or_else(|| wrong(field, name, AGENT))
}

/// The agent of `agents/{agent}` in `field`, none if it is empty; what is neither goes to `bad`.
pub fn optional_agent(field: &str, name: &str, bad: &mut Violations) -> Option<AgentId> {
    optional(field, name, bad, ("agents/", AGENT))
}

/// The call of `calls/{call}` in `field`.
pub fn call(field: &str, name: &str) -> Result<CallId, Refusal> {
    parse("calls/", name).ok_or_else(|| wrong(field, name, CALL))
}

/// The call of `calls/{call}` in `field`, none if it is empty; what is neither goes to `bad`.
pub fn optional_call(field: &str, name: &str, bad: &mut Violations) -> Option<CallId> {
    optional(field, name, bad, ("calls/", CALL))
}

/// The phone number of `phoneNumbers/{phone_number}` in `field`.
pub fn phone_number(field: &str, name: &str) -> Result<PhoneNumberId, Refusal> {
    let form = "phoneNumbers/{phone_number}, where {phone_number} is 7 to 15 digits, the first not 0";
    parse("phoneNumbers/", name).ok_or_else(|| wrong(field, name, form))
}

/// The appointment of `appointments/{appointment}` in `field`.
pub fn appointment(field: &str, name: &str) -> Result<AppointmentId, Refusal> {
    let form = "appointments/{appointment}, where {appointment} is a UUID";
    parse("appointments/", name).ok_or_else(|| wrong(field, name, form))
}

/// The resource of `resources/{resource}` in `field`.
pub fn resource(field: &str, name: &str) -> Result<ResourceId, Refusal> {
    parse("resources/", name).ok_or_else(|| wrong(field, name, RESOURCE))
}

/// The resource of `resources/{resource}` in `field`, none if it is empty; what is neither goes to `bad`.
pub fn optional_resource(field: &str, name: &str, bad: &mut Violations) -> Option<ResourceId> {
    optional(field, name, bad, ("resources/", RESOURCE))
}

/// The key of `apiKeys/{api_key}` in `field`.
pub fn api_key(field: &str, name: &str) -> Result<KeyId, Refusal> {
    parse("apiKeys/", name).ok_or_else(|| wrong(field, name, API_KEY))
}

/// The key of `apiKeys/{api_key}` in `field`, none if it is empty; what is neither goes to `bad`.
pub fn optional_api_key(field: &str, name: &str, bad: &mut Violations) -> Option<KeyId> {
    optional(field, name, bad, ("apiKeys/", API_KEY))
}

/// The organisation of `organisations/{organisation}` in `field`, none for `organisations/-`, which is one's own.
pub fn organisation(field: &str, name: &str) -> Result<Option<OrganisationId>, Refusal> {
    let form = "organisations/{organisation}, where {organisation} is a UUID or `-` for your own";
    if name == "organisations/-" {
        return Ok(None);
    }
    parse("organisations/", name).map(Some).ok_or_else(|| wrong(field, name, form))
}

/// What a client gave in an optional field; none if it is empty.
pub fn given(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
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

fn parse<Id: std::str::FromStr>(collection: &str, name: &str) -> Option<Id> {
    name.strip_prefix(collection).and_then(|id| id.parse().ok())
}

fn optional<Id: std::str::FromStr>(
    field: &str,
    name: &str,
    bad: &mut Violations,
    (collection, form): (&str, &str),
) -> Option<Id> {
    let id = parse(collection, name);
    if id.is_none() && !name.is_empty() {
        bad.add(field, format!("must be {form}"));
    }
    id
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
        for name in ["", "493012345678", "phoneNumbers/+493012345678", "phoneNumbers/front-desk"] {
            assert!(matches!(phone_number("name", name), Err(Refusal::Invalid(_))), "{name}");
        }
        assert!(matches!(appointment("name", "appointments/42"), Err(Refusal::Invalid(_))));
        assert!(matches!(resource("name", "resources/anna"), Err(Refusal::Invalid(_))));
        assert!(matches!(api_key("name", "apiKeys/pk_x"), Err(Refusal::Invalid(_))));
        assert!(matches!(organisation("name", "organisations/mine"), Err(Refusal::Invalid(_))));
        assert_eq!(organisation("name", "organisations/-"), Ok(None));
    }
}
