//! `get_current_time`: the date and time in a zone, for models that know neither.

use jiff::Timestamp;
use parlance_conversation::ToolOutcome;
use serde_json::{Value, json};

/// The time `now`, in the zone that is asked for or else in `home`.
pub fn run(now: Timestamp, home: &str, arguments: &Value) -> ToolOutcome {
    let asked = arguments.get("time_zone").and_then(Value::as_str).map(str::trim);
    let zone = asked.filter(|zone| !zone.is_empty()).unwrap_or(home);
    let Ok(at) = now.in_tz(zone) else {
        let reason = format!("`{zone}` is no time zone: give an IANA name such as Europe/Berlin");
        return ToolOutcome::Failed { reason };
    };
    let said = |format: &str| at.strftime(format).to_string();
    ToolOutcome::Succeeded {
        result: json!({
            "iso": said("%Y-%m-%dT%H:%M:%S%:z"),
            "date": said("%Y-%m-%d"),
            "weekday": said("%A"),
            "time": said("%H:%M"),
            "words": said("%A, %B %-d, %Y, %-I:%M %p"),
            "time_zone": zone,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_told_in_the_zone_that_is_asked_for_or_at_home() {
        let now: Timestamp = "2026-03-01T23:05:00Z".parse().expect("it is a time");
        let ToolOutcome::Succeeded { result } = run(now, "Europe/Berlin", &json!({})) else {
            panic!("it is known")
        };
        let expected = json!({
            "iso": "2026-03-02T00:05:00+01:00", "date": "2026-03-02", "weekday": "Monday", "time": "00:05",
            "words": "Monday, March 2, 2026, 12:05 AM", "time_zone": "Europe/Berlin",
        });
        assert_eq!(result, expected);
        let ToolOutcome::Succeeded { result } = run(now, "UTC", &json!({"time_zone": "America/New_York"}))
        else {
            panic!("it is known")
        };
        assert_eq!(result["weekday"], "Sunday");
        let ToolOutcome::Failed { reason } = run(now, "UTC", &json!({"time_zone": "Narnia"})) else {
            panic!("there is none")
        };
        assert!(reason.contains("Narnia"), "{reason}");
    }
}
