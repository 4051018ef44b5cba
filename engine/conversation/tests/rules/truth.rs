//! H: what was really heard.

use std::time::Duration;

use parlance_conversation::*;

use crate::agents::{greeting, model};
use crate::session::{Session, ms};

fn entries(call: &Session) -> Vec<Entry> {
    let said = |(_, action): &(u64, Action)| match action {
        Action::Tell(Event::Said(entry)) => Some(entry.clone()),
        _ => None,
    };
    call.actions.iter().filter_map(said).collect()
}

#[test]
fn h1_word_times_of_the_voice_are_used_and_others_are_marked_estimated() {
    for given in [true, false] {
        let mut call = Session::new(greeting("We open late."));
        call.voice_delay = None;
        call.run(100);
        let times = [("We", 0, 500), ("open", 500, 600), ("late", 600, 700)];
        let word = |(text, start, end): &(&str, u64, u64)| WordTime {
            text: (*text).into(),
            start: ms(*start),
            end: ms(*end),
        };
        let words: Vec<WordTime> = if given { times.iter().map(word).collect() } else { Vec::new() };
        let (reply, segment, length) = (ReplyId(1), SegmentId(0), Duration::from_millis(780));
        call.post(200, Input::AudioReady { reply, segment, length, words, finished: true });
        call.post(710, Input::Control(Control::Interrupt)).run(2_000);
        let entry = entries(&call).pop().expect("an entry");
        // About 490 ms were played: of the voice's words one, of an even share two.
        assert_eq!(entry.text, if given { "We" } else { "We open" });
        assert_eq!(entry.estimated, !given);
    }
}

#[test]
fn h2_heard_words_are_those_whose_middle_was_played() {
    let mut call = Session::new(greeting("One two three four five six."));
    call.post(1_000, Input::Control(Control::Interrupt)).run(2_000);
    let entry = entries(&call).pop().expect("an entry");
    assert_eq!(format!("{} {}", entry.text, entry.unheard), "One two three four five six.");
    assert_eq!(entry.interrupted_at, Some(ms(1_000)));
    assert_eq!(entry.text, "One two three");
}

#[test]
fn h2_words_keep_their_times_through_a_hold() {
    let mut call = Session::new(greeting("We open at nine in the morning and close at five."));
    call.voice(1_000, 1_600).listened(1_750, 1_700).run(8_000);
    let entry = entries(&call).pop().expect("an entry");
    let first = entry.words.first().expect("words").start.as_millis();
    let last = entry.words.last().expect("words").end.as_millis();
    let ended = call.when("over r1 heard");
    assert!(first.abs_diff(210) <= 100 && last.abs_diff(ended) <= 100, "{first} {last} {ended}");
}

#[test]
fn h3_a_position_of_an_old_reply_is_not_heard() {
    let mut call = Session::new(greeting("One two three four five six."));
    let late = Input::PlayedUpTo { reply: ReplyId(1), position: Duration::from_millis(1_600), at: ms(1_100) };
    call.post(1_000, Input::Control(Control::Interrupt)).post(1_100, late).run(2_000);
    assert_eq!(entries(&call).pop().expect("an entry").text, "One two three");
}

#[test]
fn h4_entries_are_numbered_in_the_order_they_began() {
    let mut call = Session::new(greeting("We open at nine in the morning and close at five."));
    call.answer(200, "Lunch is at one.").says(1_500, 2_200, "when is lunch").run(8_000);
    let mut entries = entries(&call);
    entries.sort_by_key(|entry| entry.sequence);
    entries.dedup_by_key(|entry| entry.sequence);
    let order: Vec<(u32, Speaker)> = entries.iter().map(|entry| (entry.sequence, entry.speaker)).collect();
    assert_eq!(order, [(1, Speaker::Agent), (2, Speaker::Caller), (3, Speaker::Agent)]);
    assert!(entries.is_sorted_by_key(|entry| entry.start));
}

#[test]
fn h5_a_tool_that_ran_stays_in_the_context_whatever_was_heard() {
    let mut call = Session::new(model());
    call.tool_delay = Some(500);
    call.answer_with_tool(200, "Let me look that up for you right now.", "look_up")
        .answer(3_000, "x")
        .answer(200, "y");
    call.says(1_000, 1_500, "is there a table").says(3_100, 3_600, "forget it").run(9_000);
    let kinds: Vec<&str> = call
        .context()
        .iter()
        .map(|message| match message {
            Message::System { .. } => "system",
            Message::Caller { .. } => "caller",
            Message::Agent { text } if text.ends_with('…') => "cut",
            Message::Agent { .. } => "agent",
            Message::ToolCall { .. } => "call",
            Message::ToolResult { .. } => "result",
        })
        .collect();
    assert_eq!(kinds, ["caller", "cut", "call", "result", "caller"], "{}", call.text());
}

/// A reply's audio and words, told in pieces: the words from one time to another, evenly.
fn told_in_pieces(call: &mut Session, pieces: &[(u64, u64, &str)], finished: bool) {
    let (reply, segment) = (ReplyId(1), SegmentId(0));
    for (count, (from, to, text)) in pieces.iter().enumerate() {
        let all: Vec<&str> = text.split_whitespace().collect();
        let each = (to - from) / all.len() as u64;
        let start = |i: usize| from + each * i as u64;
        let word = |i: usize| WordTime { text: all[i].into(), start: ms(start(i)), end: ms(start(i) + each) };
        let words = (0..all.len()).map(word).collect();
        let (length, finished) = (Duration::from_millis(*to), finished && count + 1 == pieces.len());
        call.post(200, Input::AudioReady { reply, segment, length, words, finished });
    }
}

#[test]
fn h1_words_told_in_pieces_all_keep_their_times_also_one_that_comes_twice() {
    let pieces = [(0, 100, "No no"), (100, 200, "we do"), (200, 260, "no"), (260, 1_260, "lunch.")];
    for finished in [true, false] {
        let mut call = Session::new(greeting("No no we do no lunch."));
        call.voice_delay = None;
        call.run(100);
        told_in_pieces(&mut call, &pieces, finished);
        call.post(800, Input::Control(Control::Interrupt)).run(2_000);
        let entry = entries(&call).pop().expect("an entry");
        assert_eq!(
            (entry.text.as_str(), entry.unheard.as_str()),
            ("No no we do no", "lunch."),
            "{}",
            call.text()
        );
        assert!(!entry.estimated);
    }
}

#[test]
fn h1_in_mid_sentence_the_words_told_so_far_have_their_times_and_the_others_are_estimated() {
    let mut call = Session::new(greeting("We open at nine in the morning."));
    call.voice_delay = None;
    call.run(100);
    told_in_pieces(&mut call, &[(0, 1_200, "We"), (1_200, 1_400, "open")], false);
    let (kind, message) = (ProviderKind::TextToSpeech, "closed".to_owned());
    let reply = Some(ReplyId(1));
    call.post(300, Input::ProviderFailed { kind, reply, message, fallback_left: true }).run(400);
    call.in_order(&["failed text_to_speech", "say r1 at nine in the morning."]);
}

#[test]
fn h1_audio_of_a_voice_that_broke_before_a_whole_word_counts_in_the_positions_of_what_follows() {
    let mut call = Session::new(greeting("Tremendously good."));
    call.voice_delay = None;
    call.run(100);
    let ready = |segment: u32, length: u64, words: Vec<WordTime>, finished| Input::AudioReady {
        reply: ReplyId(1),
        segment: SegmentId(segment),
        length: Duration::from_millis(length),
        words,
        finished,
    };
    call.post(200, ready(0, 400, Vec::new(), false));
    let (kind, message) = (ProviderKind::TextToSpeech, "closed".to_owned());
    let reply = Some(ReplyId(1));
    call.post(300, Input::ProviderFailed { kind, reply, message, fallback_left: true });
    let word = |text: &str, from, to| WordTime { text: text.into(), start: ms(from), end: ms(to) };
    let words = vec![word("Tremendously", 0, 400), word("good.", 400, 700)];
    call.post(310, ready(1, 1_080, words, true)).run(320);
    call.in_order(&["say r1 Tremendously good.", "failed text_to_speech", "say r1 Tremendously good."]);
    // Of the second voice some 300 ms were played.
    call.post(910, Input::Control(Control::Interrupt)).run(2_000);
    let entry = entries(&call).pop().expect("an entry");
    assert_eq!((entry.text.as_str(), entry.unheard.as_str()), ("Tremendously", "good."), "{}", call.text());
}
