//! Segments do not depend on how the text arrives (A2).

use parlance_conversation::flow::normalize_for_speech;
use parlance_conversation::flow::segments::Segmenter;
use proptest::prelude::*;

fn cut(chunks: &[String]) -> Vec<String> {
    let mut segmenter = Segmenter::new();
    let mut segments: Vec<String> = chunks.iter().flat_map(|chunk| segmenter.push(chunk)).collect();
    segments.extend(segmenter.finish());
    segments
}

fn texts() -> impl Strategy<Value = String> {
    let pieces = prop_oneof![
        Just("Hello there"),
        Just("Dr. Smith"),
        Just("at 7 p.m."),
        Just("at 7 p.m. We"),
        Just("3.14"),
        Just("1,000"),
        Just("www.a.com"),
        Just("a.b@c.org"),
        Just("e.g. this"),
        Just("。"),
        Just("，"),
        Just("您好"),
        Just("…"),
        Just(". "),
        Just(", "),
        Just("! "),
        Just("?\" "),
        Just("\n"),
        Just("1. "),
        Just(" "),
        Just("🎉"),
        Just("a word that goes on and on and on and on "),
    ];
    prop::collection::vec(pieces, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_chunks_give_the_segments_of_the_whole(text in texts(), lengths in prop::collection::vec(1_usize..9, 1..40)) {
        let chars: Vec<char> = text.chars().collect();
        let mut chunks = Vec::new();
        let mut at = 0;
        for length in lengths.iter().cycle() {
            if at >= chars.len() {
                break;
            }
            let end = (at + length).min(chars.len());
            chunks.push(chars[at..end].iter().collect::<String>());
            at = end;
        }
        prop_assert_eq!(cut(&chunks), cut(&[text]));
    }

    #[test]
    fn no_word_is_lost_or_doubled(text in texts()) {
        let letters = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).collect::<String>();
        prop_assert_eq!(letters(&cut(std::slice::from_ref(&text)).concat()), letters(&text));
    }

    #[test]
    fn any_text_can_be_normalised_and_keeps_no_digits(text in "\\PC{0,60}") {
        let said = normalize_for_speech(&text);
        prop_assert!(!said.contains(|c: char| c.is_ascii_digit()), "{}", said);
    }
}
