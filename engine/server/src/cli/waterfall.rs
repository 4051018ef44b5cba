//! The times of one turn as a bar: where the time between the caller's last sound and the answer went.
//!
//! Segments never overlap: a step that was done early (a speculative reply) shows with no width. All bars of a
//! call have one scale, so that turns can be compared by eye; only a turn too long for it is squeezed.

use parlance_proto::v1::Waterfall;
use prost_types::Duration as ProtoDuration;

use super::terminal::{Paint, Tone, millis};

/// Columns of a bar.
const COLUMNS: i64 = 60;
/// What a full bar stands for, unless the turn took longer.
const FULL_BAR_MS: i64 = 2_400;

/// One part of a turn's time.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    name: &'static str,
    mark: char,
    millis: i64,
}

/// Where the time went, in order, and when the first frame left, in milliseconds after the last voice.
fn parts(waterfall: &Waterfall) -> Option<(Vec<Part>, i64)> {
    let begin = millis(Some(waterfall.last_voice.as_ref()?));
    // A wait cut short by a complete answer ends with the decision.
    let waited = match (waterfall.wait_until.as_ref(), waterfall.decided.as_ref()) {
        (Some(until), Some(decided)) if millis(Some(decided)) < millis(Some(until)) => Some(decided),
        (until, decided) => until.or(decided),
    };
    let steps: [(&str, char, Option<&ProtoDuration>); 5] = [
        ("wait", '░', waited),
        ("settle", '▒', waterfall.decided.as_ref()),
        ("text", '▓', waterfall.first_segment.as_ref().or(waterfall.first_text.as_ref())),
        ("voice", '█', waterfall.first_audio.as_ref()),
        ("out", '▪', waterfall.first_frame.as_ref()),
    ];
    let mut reached = begin;
    let mut parts = Vec::new();
    for (name, mark, until) in steps {
        let until = until.map_or(reached, |until| millis(Some(until)).max(reached));
        parts.push(Part { name, mark, millis: until - reached });
        reached = until;
    }
    Some((parts, reached - begin))
}

/// The bar of a turn and the line of figures below it; nothing if the turn had no beginning.
#[must_use]
pub fn chart(waterfall: &Waterfall, paint: Paint) -> Vec<String> {
    let Some((parts, total)) = parts(waterfall) else { return Vec::new() };
    let full = total.max(FULL_BAR_MS);
    let mut bar = String::new();
    let mut elapsed = 0;
    for part in &parts {
        let from = elapsed * COLUMNS / full;
        elapsed += part.millis;
        let to = elapsed * COLUMNS / full;
        bar.extend(std::iter::repeat_n(part.mark, usize::try_from(to - from).unwrap_or(0)));
    }
    let figures: Vec<_> =
        parts.iter().map(|part| format!("{} {} {}", part.mark, part.name, part.millis)).collect();
    let on_the_way = waterfall.heard.as_ref().zip(waterfall.first_frame.as_ref());
    let on_the_way = on_the_way.map_or(0, |(heard, out)| millis(Some(heard)) - millis(Some(out)));
    let heard = if on_the_way > 20 { format!(", heard {on_the_way} ms later") } else { String::new() };
    let figures = paint.paint(Tone::Quiet, &format!("{}  = {total} ms{heard}", figures.join("  ")));
    // A turn too short for one column has no bar, and no empty line instead of it.
    let bar = (!bar.is_empty()).then(|| paint.paint(Tone::Good, &bar));
    bar.into_iter().chain([figures]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Option<ProtoDuration> {
        Some(ProtoDuration { seconds: millis / 1_000, nanos: (millis % 1_000) as i32 * 1_000_000 })
    }

    #[test]
    fn the_parts_add_up_to_the_time_from_last_voice_to_first_frame() {
        let waterfall = Waterfall {
            last_voice: at(3_440),
            wait_until: at(3_840),
            settled: at(3_860),
            decided: at(3_860),
            first_text: at(3_861),
            first_segment: at(3_862),
            first_audio: at(3_950),
            first_frame: at(3_960),
            heard: at(3_990),
            ..Default::default()
        };
        let (parts, total) = parts(&waterfall).expect("it has a beginning");
        assert_eq!(parts.iter().map(|part| part.millis).collect::<Vec<_>>(), [400, 20, 2, 88, 10]);
        assert_eq!(total, 520);
        let lines = chart(&waterfall, Paint::plain());
        assert_eq!(lines[0].chars().count(), 13, "520 of 2400 ms in 60 columns");
        assert_eq!(
            lines[1],
            "░ wait 400  ▒ settle 20  ▓ text 2  █ voice 88  ▪ out 10  = 520 ms, heard 30 ms later"
        );
    }

    #[test]
    fn work_done_before_the_decision_takes_no_room() {
        let waterfall = Waterfall {
            last_voice: at(1_000),
            wait_until: at(1_400),
            decided: at(1_400),
            first_text: at(1_200),
            first_segment: at(1_210),
            first_audio: at(1_300),
            first_frame: at(1_404),
            ..Default::default()
        };
        let (parts, total) = parts(&waterfall).expect("it has a beginning");
        assert_eq!(parts.iter().map(|part| part.millis).collect::<Vec<_>>(), [400, 0, 0, 0, 4]);
        assert_eq!(total, 404);
    }

    #[test]
    fn the_longest_turn_still_fits_its_bar() {
        let waterfall = Waterfall {
            last_voice: at(0),
            decided: at(90_000),
            first_frame: at(91_000),
            ..Default::default()
        };
        assert_eq!(chart(&waterfall, Paint::plain())[0].chars().count(), 60);
    }
}
