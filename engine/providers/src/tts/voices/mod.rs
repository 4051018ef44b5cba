//! Which voice is meant: names, aliases and bare ids, and the service that has it.
//!
//! Decides without asking anybody: a name counts whatever its case, an id counts by its look. A voice nobody knows is
//! answered with those whose names are nearest. Enter at [`resolve`]; what is known is in `known`.

mod known;

use super::VoiceInfo;
use crate::near;

/// A voice and who has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VoiceChoice {
    /// The registered name of the service.
    pub service: String,
    /// The voice's id with it.
    pub voice: String,
}

/// Nobody has this voice.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no such voice{}", hint(.nearest))]
pub struct NotKnown {
    /// Names that can be asked for instead, nearest first; at most three.
    pub nearest: Vec<String>,
}

fn hint(nearest: &[String]) -> String {
    if nearest.is_empty() { String::new() } else { format!("; near it are: {}", nearest.join(", ")) }
}

/// Services of voices, the vendor whose voices they speak with, and what people call it, Retell among them.
const SERVICES: &[(&str, &str, &[&str])] = &[
    ("elevenlabs", "elevenlabs", &["elevenlabs", "11labs", "eleven"]),
    ("elevenlabs-http", "elevenlabs", &["elevenlabs-http"]),
    ("deepgram", "deepgram", &["deepgram"]),
    ("openai", "openai", &["openai"]),
    ("cartesia", "cartesia", &["cartesia"]),
    ("flite", "flite", &["flite"]),
    ("espeak-ng", "espeak-ng", &["espeak-ng", "espeak"]),
];

/// How many names an error gives.
const NEAREST: usize = 3;

/// The voices of a vendor that are known without asking it, its default first.
pub(crate) fn known(vendor: &str) -> Vec<VoiceInfo> {
    let info = |voice: &known::Known| VoiceInfo {
        id: voice.id.to_owned(),
        name: voice.name.to_owned(),
        languages: voice.languages.iter().map(|&language| language.to_owned()).collect(),
        preview_url: String::new(),
        about: voice.about.to_owned(),
    };
    known::of(vendor).iter().map(info).collect()
}

/// A voice's id with a vendor: of a known name that id, of none its default for the language, else what was wanted.
pub(crate) fn id_of(vendor: &str, wanted: &str, language: &str) -> String {
    let voices = known::of(vendor);
    if wanted.is_empty() {
        let primary = language.split(['-', '_']).next().unwrap_or_default().to_lowercase();
        let speaks = |voice: &&known::Known| voice.languages.contains(&primary.as_str());
        return voices.iter().find(speaks).or(voices.first()).map_or("", |voice| voice.id).to_owned();
    }
    named(vendor, wanted).unwrap_or(wanted).to_owned()
}

/// The voice that `wanted` means, of `services` (registered names, the preferred one first; none for all there are).
///
/// Takes a name (`Rachel`), a service or vendor before a name or an id (`11labs-Adrian`, `elevenlabs/21m00…`,
/// `openai:alloy`), and a bare id where its look tells whose it is.
///
/// # Errors
/// [`NotKnown`] with the nearest names.
pub fn resolve(wanted: &str, services: &[&str]) -> Result<VoiceChoice, NotKnown> {
    let wanted = wanted.trim();
    let order: Vec<(&str, &str)> = if services.is_empty() {
        SERVICES.iter().map(|(service, vendor, _)| (*service, *vendor)).collect()
    } else {
        let vendor = |service: &&str| SERVICES.iter().find(|(name, ..)| name == service).map(|found| found.1);
        services.iter().filter_map(|service| Some((*service, vendor(service)?))).collect()
    };
    let choice =
        |service: &str, voice: &str| VoiceChoice { service: service.to_owned(), voice: voice.to_owned() };
    if let Some((prefix, voice)) = prefix(wanted, &order) {
        let (service, vendor) = prefix;
        let found = named(vendor, voice).or_else(|| is_id_of(vendor, voice).then_some(voice));
        let found = found.or_else(|| (vendor == "openai" && is_plain(voice)).then_some(voice));
        return match found {
            Some(id) => Ok(choice(service, id)),
            None => Err(NotKnown { nearest: nearest(voice, &[(service, vendor)]) }),
        };
    }
    let by_name = order.iter().find_map(|(service, vendor)| Some(choice(service, named(vendor, wanted)?)));
    let by_look = || {
        let whose = order.iter().find(|(_, vendor)| is_id_of(vendor, wanted));
        whose.map(|(service, _)| choice(service, wanted))
    };
    by_name.or_else(by_look).ok_or_else(|| NotKnown { nearest: nearest(wanted, &order) })
}

/// The service a voice's name begins with, and the rest; the longest prefix counts.
fn prefix<'a, 'o>(wanted: &'a str, order: &'o [(&'o str, &'o str)]) -> Option<((&'o str, &'o str), &'a str)> {
    let mut found: Option<(usize, (&str, &str), &str)> = None;
    for (service, vendor) in order {
        let aliases = SERVICES.iter().filter(|(name, of, _)| name == service || of == vendor);
        for alias in aliases.flat_map(|(_, _, aliases)| *aliases) {
            let Some(head) = wanted.get(..alias.len()) else { continue };
            let rest = &wanted[alias.len()..];
            let voice = rest.strip_prefix(['/', ':', '-']).filter(|voice| !voice.is_empty());
            let Some(voice) = voice.filter(|_| head.eq_ignore_ascii_case(alias)) else { continue };
            // A service asked for by its own name is meant before another of the same vendor.
            let fit = alias.len() * 2 + usize::from(alias == service);
            if found.is_none_or(|(best, ..)| fit > best) {
                found = Some((fit, (*service, *vendor), voice));
            }
        }
    }
    found.map(|(_, service, voice)| (service, voice))
}

/// The id of a known voice by its id, name or other name.
fn named(vendor: &str, wanted: &str) -> Option<&'static str> {
    let wanted = known::ALIASES
        .iter()
        .find(|(of, alias, _)| *of == vendor && alias.eq_ignore_ascii_case(wanted))
        .map_or(wanted, |(_, _, name)| name);
    let is_it = |voice: &&known::Known| {
        voice.id == wanted || voice.name.eq_ignore_ascii_case(wanted) || voice.id.eq_ignore_ascii_case(wanted)
    };
    known::of(vendor).iter().find(is_it).map(|voice| voice.id)
}

/// Whether something looks like an id of this vendor.
fn is_id_of(vendor: &str, wanted: &str) -> bool {
    match vendor {
        "elevenlabs" => {
            let has_digit = wanted.contains(|character: char| character.is_ascii_digit());
            wanted.len() == 20
                && has_digit
                && wanted.chars().all(|character| character.is_ascii_alphanumeric())
        }
        "deepgram" => wanted.starts_with("aura-") && is_plain(wanted),
        "cartesia" => {
            let dashes = [8, 13, 18, 23];
            let fits = |(at, byte): (usize, u8)| match dashes.contains(&at) {
                true => byte == b'-',
                false => byte.is_ascii_hexdigit(),
            };
            wanted.len() == 36 && wanted.bytes().enumerate().all(fits)
        }
        _ => false,
    }
}

fn is_plain(voice: &str) -> bool {
    voice.chars().all(|character| character.is_ascii_alphanumeric() || "_-+.".contains(character))
}

fn nearest(wanted: &str, order: &[(&str, &str)]) -> Vec<String> {
    let mut names: Vec<&str> = Vec::new();
    for voice in order.iter().flat_map(|(_, vendor)| known::of(vendor)) {
        if !names.contains(&voice.name) {
            names.push(voice.name);
        }
    }
    near::nearest(wanted, names).into_iter().take(NEAREST).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(wanted: &str, services: &[&str]) -> (String, String) {
        let choice = resolve(wanted, services).unwrap_or_else(|error| panic!("{wanted}: {error}"));
        (choice.service, choice.voice)
    }

    #[test]
    fn names_aliases_and_bare_ids_mean_a_voice_of_a_service() {
        for (wanted, service, voice) in [
            ("Rachel", "elevenlabs", "21m00Tcm4TlvDq8ikWAM"),
            ("rACHEL", "elevenlabs", "21m00Tcm4TlvDq8ikWAM"),
            ("11labs-Adrian", "elevenlabs", "pNInz6obpgDQGcFmaJgB"),
            ("elevenlabs:Rachel", "elevenlabs", "21m00Tcm4TlvDq8ikWAM"),
            ("elevenlabs/21m00Tcm4TlvDq8ikWAM", "elevenlabs", "21m00Tcm4TlvDq8ikWAM"),
            ("elevenlabs-http/Rachel", "elevenlabs-http", "21m00Tcm4TlvDq8ikWAM"),
            ("zZ1yY2xX3wW4vV5uU6tT", "elevenlabs", "zZ1yY2xX3wW4vV5uU6tT"),
            ("openai-Alloy", "openai", "alloy"),
            ("openai/af_sky+af_bella", "openai", "af_sky+af_bella"),
            ("deepgram-Angus", "deepgram", "aura-angus-en"),
            ("aura-2-thalia-en", "deepgram", "aura-2-thalia-en"),
            ("aura-2-newcomer-en", "deepgram", "aura-2-newcomer-en"),
            ("cartesia-Katie", "cartesia", "f786b574-daa5-4673-aa0c-cbe3e8534c02"),
            ("0f0e0d0c-1111-2222-3333-444455556666", "cartesia", "0f0e0d0c-1111-2222-3333-444455556666"),
            ("slt", "flite", "slt"),
            ("flite/rms", "flite", "rms"),
            ("en-gb-scotland", "espeak-ng", "en-gb-scotland"),
        ] {
            assert_eq!(resolved(wanted, &[]), (service.to_owned(), voice.to_owned()), "{wanted}");
        }
    }

    #[test]
    fn only_the_services_there_are_count_in_their_order() {
        assert_eq!(resolved("Rachel", &["openai", "elevenlabs-http"]).0, "elevenlabs-http");
        assert_eq!(resolved("11labs-Rachel", &["elevenlabs-http"]).0, "elevenlabs-http");
        assert!(resolve("Rachel", &["openai"]).is_err());
        assert!(resolve("zZ1yY2xX3wW4vV5uU6tT", &["openai"]).is_err());
    }

    #[test]
    fn an_unknown_voice_names_the_nearest() {
        let error = resolve("Rachelle", &[]).unwrap_err();
        assert_eq!(error.nearest[0], "Rachel");
        assert!(error.to_string().contains("Rachel"), "{error}");
        assert_eq!(resolve("deepgram-Thalya", &[]).unwrap_err().nearest[0], "Thalia");
        assert_eq!(resolve("openai:al loy", &[]).unwrap_err().nearest[0], "Alloy");
        assert_eq!(resolve("Rachel", &["no-such-service"]).unwrap_err().nearest, Vec::<String>::new());
    }

    #[test]
    fn without_a_voice_the_vendors_default_for_the_language_speaks() {
        assert_eq!(id_of("cartesia", "", "hi-IN"), "c1abd502-9231-4558-a054-10ac950c356d");
        assert_eq!(id_of("deepgram", "", "es"), "aura-2-agustina-es");
        assert_eq!(id_of("deepgram", "", ""), "aura-2-thalia-en");
        assert_eq!(id_of("elevenlabs", "", "hi"), "21m00Tcm4TlvDq8ikWAM");
        assert_eq!(id_of("elevenlabs", "own-voice", ""), "own-voice");
    }
}
