//! `format`: what a text must be to be a date, an address and the like.
//!
//! Dates and times are those of RFC 3339, addresses of mail those of RFC 5321 without comments, the rest as JSON Schema's
//! draft 2020-12 says. A format that is not among [`FORMATS`] fits every text.

use std::net::{Ipv4Addr, Ipv6Addr};

use reqwest::Url;

/// Whether a text is of a format.
type Is = fn(&str) -> bool;

/// The formats that are checked: the name, what a model is told to write, and the check.
const FORMATS: [(&str, &str, Is); 9] = [
    ("date", "a date such as 2026-03-31", is_date),
    ("time", "a time with its offset such as 19:30:00+02:00 or 19:30:00Z", is_time),
    ("date-time", "a date and time with its offset such as 2026-03-31T19:30:00+02:00", is_date_time),
    ("email", "an e-mail address such as ada@example.com", is_email),
    ("uuid", "a UUID such as 1b4e28ba-2fa1-41d2-883f-0016d3cca427", is_uuid),
    ("uri", "a whole address with its scheme such as https://example.com/menu", is_uri),
    ("hostname", "the name of a host such as www.example.com", is_hostname),
    ("ipv4", "an IPv4 address such as 192.0.2.1", |text| text.parse::<Ipv4Addr>().is_ok()),
    ("ipv6", "an IPv6 address such as 2001:db8::1", |text| text.parse::<Ipv6Addr>().is_ok()),
];

/// What the text must be and is not; none if it fits. An unknown format is `None` as a whole.
pub fn wanted(format: &str, text: &str) -> Option<Result<(), &'static str>> {
    let (_, said, is) = FORMATS.iter().find(|(name, ..)| *name == format)?;
    Some(if is(text) { Ok(()) } else { Err(said) })
}

fn is_date(text: &str) -> bool {
    let Some([year, month, day]) = numbers(text, '-', [4, 2, 2]) else { return false };
    // They have at most four digits.
    jiff::civil::Date::new(year as i16, month as i8, day as i8).is_ok()
}

fn is_time(text: &str) -> bool {
    let Some(zone) = text.find(['Z', 'z', '+', '-']) else { return false };
    let (clock, zone) = text.split_at(zone);
    let (clock, fraction) = clock.split_once('.').map_or((clock, None), |(clock, rest)| (clock, Some(rest)));
    let fraction_fits =
        fraction.is_none_or(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()));
    let Some([hour, minute, second]) = numbers(clock, ':', [2, 2, 2]) else { return false };
    let ahead = match zone {
        "Z" | "z" => 0,
        offset => {
            let Some([hours, minutes]) = numbers(&offset[1..], ':', [2, 2]) else { return false };
            if hours > 23 || minutes > 59 {
                return false;
            }
            let minutes = hours * 60 + minutes;
            if offset.starts_with('-') { -minutes } else { minutes }
        }
    };
    // A second 60 is the last of a day of UTC.
    let leaps = (hour * 60 + minute - ahead).rem_euclid(24 * 60) == 24 * 60 - 1;
    fraction_fits && hour <= 23 && minute <= 59 && (second <= 59 || second == 60 && leaps)
}

fn is_date_time(text: &str) -> bool {
    text.split_once(['T', 't']).is_some_and(|(date, time)| is_date(date) && is_time(time))
}

/// The numbers between the marks, if each has so many digits.
fn numbers<const N: usize>(text: &str, mark: char, digits: [usize; N]) -> Option<[i32; N]> {
    let mut parts = text.split(mark);
    let mut numbers = [0; N];
    for (number, digits) in numbers.iter_mut().zip(digits) {
        let part = parts.next().filter(|part| part.len() == digits)?;
        *number = part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok())??;
    }
    parts.next().is_none().then_some(numbers)
}

fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let quoted = local.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let local_fits = match quoted {
        Some(inner) => is_quoted(inner),
        None => local.split('.').all(|atom| {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte);
            !atom.is_empty() && atom.bytes().all(fits)
        }),
    };
    let literal = domain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let domain_fits = match literal {
        Some(number) => match number.strip_prefix("IPv6:") {
            Some(v6) => v6.parse::<Ipv6Addr>().is_ok(),
            None => number.parse::<Ipv4Addr>().is_ok(),
        },
        None => is_hostname(domain),
    };
    local.len() <= 64 && local_fits && domain_fits
}

/// Whether this may stand between the quotes of a mail address: any printable letter, a quote behind a backslash.
fn is_quoted(text: &str) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' if bytes.next().is_some_and(|byte| (b' '..=b'~').contains(&byte)) => {}
            b'\\' | b'"' => return false,
            byte if !(b' '..=b'~').contains(&byte) => return false,
            _ => {}
        }
    }
    true
}

fn is_hostname(text: &str) -> bool {
    let label = |label: &str| {
        let fits = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        (1..=63).contains(&label.len()) && fits && !label.starts_with('-') && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

fn is_uuid(text: &str) -> bool {
    let lengths: Vec<usize> = text.split('-').map(str::len).collect();
    lengths == [8, 4, 4, 4, 12] && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let scheme_fits = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let mut bytes = rest.bytes();
    while let Some(byte) = bytes.next() {
        let fits = match byte {
            b'%' => (0..2).all(|_| bytes.next().is_some_and(|byte| byte.is_ascii_hexdigit())),
            byte => byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=".contains(&byte),
        };
        if !fits {
            return false;
        }
    }
    scheme_fits && rest.matches('#').count() <= 1 && Url::parse(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn are(format: &str, good: &[&str], bad: &[&str]) {
        for text in good {
            assert_eq!(wanted(format, text), Some(Ok(())), "{format} {text}");
        }
        for text in bad {
            assert!(wanted(format, text).is_some_and(|is| is.is_err()), "{format} {text}");
        }
    }

    #[test]
    fn dates_and_times_are_those_of_rfc_3339() {
        are(
            "date",
            &["2026-03-31", "2024-02-29"],
            &["2026-02-29", "2026-3-31", "31.03.2026", "20260331", ""],
        );
        let bad =
            ["19:30", "19:30:00", "24:00:00Z", "19:60:00Z", "19:30:60Z", "19:30:00.Z", "19:30:00+2", "7pm"];
        are("time", &["19:30:00Z", "19:30:00.25+02:00", "23:59:60Z", "15:59:60-08:00"], &bad);
        are(
            "date-time",
            &["2026-03-31T19:30:00Z", "2026-03-31t19:30:00.1-08:00"],
            &["2026-03-31 19:30:00Z", "2026-03-31T19:30:00", "2026-02-30T19:30:00Z", "2026-03-31"],
        );
    }

    #[test]
    fn addresses_and_numbers_are_known_by_their_form() {
        are(
            "email",
            &["ada@example.com", "a.b+c@d-e.example", "\"a b\\\"\"@x.org", "a@[192.0.2.1]", "a@[IPv6:::1]"],
            &[
                "ada",
                "@example.com",
                "a b@x.org",
                "a..b@x.org",
                "a@-x.org",
                "a@x..org",
                "a@b@c d",
                "\"a\"b\"@x.org",
            ],
        );
        are(
            "uuid",
            &["1b4e28ba-2fa1-41d2-883f-0016d3cca427", "1B4E28BA-2FA1-41D2-883F-0016D3CCA427"],
            &["1b4e28ba2fa141d2883f0016d3cca427", "1b4e28ba-2fa1-41d2-883f-0016d3cca42g", "1b4e28ba-2fa1"],
        );
        are(
            "uri",
            &["https://example.com/a?b=%20#c", "mailto:ada@example.com", "urn:isbn:1", "tel:+49-30-1"],
            &[
                "/menu",
                "example.com",
                "https://a b",
                "https://a/%2",
                "https://ä.example",
                "1a:b",
                "a:#b#c",
                "https://",
            ],
        );
        are("hostname", &["www.example.com", "a"], &["a_b", "-a", "a.", "", &"a".repeat(64)]);
        are("ipv4", &["192.0.2.1"], &["192.0.2", "192.0.2.256", "::1"]);
        are("ipv6", &["2001:db8::1", "::ffff:192.0.2.1"], &["192.0.2.1", "fe80::1%eth0"]);
        assert_eq!(wanted("phone", "anything"), None, "what is unknown fits");
    }
}
