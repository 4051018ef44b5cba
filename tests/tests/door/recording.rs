//! The recording of a booking, listened to by program.

use std::time::Duration;

use parlance_proto::v1::{Speaker, TranscriptEntry};
use parlance_tests::alignment::{Stretch, align, sounds};
use parlance_tests::clips;

use crate::bookings::{Booked, booked};

const RATE_HZ: u64 = 16_000;
/// How far a word may lie from where the transcript has it, milliseconds.
const WORD_MS: u64 = 100;

fn ms(offset: Option<prost_types::Duration>) -> u64 {
    let offset: Duration = offset.expect("it has a time").try_into().expect("it is not negative");
    offset.as_millis() as u64
}

fn entries(booked: &Booked, speaker: Speaker) -> impl Iterator<Item = &TranscriptEntry> {
    booked.transcript.entries.iter().filter(move |entry| entry.speaker() == speaker)
}

fn part(channel: &[i16], from_ms: u64, to_ms: u64) -> &[i16] {
    let index = |at_ms: u64| ((at_ms * RATE_HZ / 1_000) as usize).min(channel.len());
    &channel[index(from_ms)..index(to_ms)]
}

/// Where `wanted` stands in `channel`, sample by sample.
fn find(channel: &[i16], wanted: &[i16]) -> Option<usize> {
    // The search begins with a loud place: silence is everywhere.
    let loud = wanted.iter().position(|sample| sample.unsigned_abs() > 1_000)?;
    let key = &wanted[loud..wanted.len().min(loud + 64)];
    let places = channel.windows(key.len()).enumerate().filter(|(_, window)| *window == key);
    let mut starts = places.filter_map(|(place, _)| place.checked_sub(loud));
    starts.find(|start| channel.get(*start..start + wanted.len()) == Some(wanted))
}

#[test]
fn it_is_stereo_as_long_as_the_call_and_nowhere_clipped() {
    let booked = booked(0);
    let recording = &booked.recording;
    assert_eq!((recording.channels.len(), recording.sample_rate_hz), (2, 16_000));
    for channel in &recording.channels {
        let clipped = channel.iter().filter(|sample| sample.unsigned_abs() >= 32_767).count();
        assert_eq!(clipped, 0, "samples at full scale");
    }
    let began = booked.call.start_time.expect("it began");
    let ended = booked.call.end_time.expect("it ended");
    let call_ms = (ended.seconds - began.seconds) * 1_000 + i64::from(ended.nanos - began.nanos) / 1_000_000;
    let recorded_ms = recording.channels[0].len() as i64 / 16;
    assert!(
        (call_ms - recorded_ms).abs() < 1_500,
        "the call took {call_ms} ms, its recording {recorded_ms} ms"
    );
}

#[test]
fn the_caller_is_on_the_left_sample_by_sample_where_it_spoke_and_silent_elsewhere() {
    let booked = booked(0);
    let left = &booked.recording.channels[0];
    let mut spoken = Vec::new();
    for said in &booked.said {
        let clip = clips::samples(&said.file);
        let place =
            find(left, &clip).unwrap_or_else(|| panic!("{} is not whole in the recording", said.file));
        spoken.push((place, place + clip.len(), said));
    }
    // The recording has the caller's audio from its first sample on, so all clips lie equally far from there.
    let offset = |(place, _, said): &(usize, usize, &parlance_tests::caller::Said)| place - said.first_sample;
    assert!(spoken.iter().all(|one| offset(one).abs_diff(offset(&spoken[0])) <= 320), "{spoken:?}");
    for sound in sounds(left, 20) {
        let (start, end) = (sound.start_ms as usize * 16, sound.end_ms as usize * 16);
        let said = spoken.iter().any(|(from, to, _)| start + 160 >= *from && end <= to + 160);
        assert!(said, "a sound at {sound:?} where nothing was said");
    }
}

#[test]
fn the_agent_is_on_the_right_every_reply_untorn_and_nothing_else() {
    let booked = booked(0);
    let right = &booked.recording.channels[1];
    assert!(booked.replies.len() >= 5, "greeting, three questions, the read-back and more");
    for (number, reply) in booked.replies.iter().enumerate() {
        let sound = sounds(reply, u64::MAX);
        let Some(whole) = sound.first() else { continue };
        let sent = part(reply, whole.start_ms, whole.end_ms);
        let untorn = longest(right, sent);
        assert_eq!(untorn, sent.len(), "reply {} is torn {} ms after its beginning", number + 1, untorn / 16);
    }
    let of =
        |samples: &[i16]| sounds(samples, 20).iter().map(|sound| sound.end_ms - sound.start_ms).sum::<u64>();
    let (recorded, sent) = (of(right), booked.replies.iter().map(|reply| of(reply)).sum::<u64>());
    assert!(recorded.abs_diff(sent) <= 100, "{recorded} ms of sound on the right, {sent} ms were sent");
}

/// How much of `wanted` stands in `channel` in one piece from its beginning, in samples.
fn longest(channel: &[i16], wanted: &[i16]) -> usize {
    let same = |place: usize| channel[place..].iter().zip(wanted).take_while(|(a, b)| a == b).count();
    let places = channel.windows(64).enumerate().filter(|(_, window)| *window == &wanted[..64]);
    places.map(|(place, _)| same(place)).max().unwrap_or(0)
}

#[test]
fn the_agents_sounds_begin_and_end_with_the_words_of_the_transcript_within_100_ms() {
    let booked = booked(0);
    let right = &booked.recording.channels[1];
    let words: Vec<Stretch> = entries(&booked, Speaker::Agent)
        .flat_map(|entry| &entry.words)
        .map(|word| Stretch { start_ms: ms(word.start_offset), end_ms: ms(word.end_offset) })
        .collect();
    let pauses = sounds(right, 180);
    let nearest = |at: u64, times: &dyn Fn(&Stretch) -> u64| {
        words.iter().map(times).min_by_key(|time| time.abs_diff(at)).expect("the agent said words")
    };
    let mut far = Vec::new();
    for sound in &pauses {
        let start = nearest(sound.start_ms, &|word| word.start_ms);
        let end = nearest(sound.end_ms, &|word| word.end_ms);
        far.extend(
            (start.abs_diff(sound.start_ms) > WORD_MS).then(|| format!("{sound:?} begins; a word {start}")),
        );
        far.extend((end.abs_diff(sound.end_ms) > WORD_MS).then(|| format!("{sound:?} ends; a word {end}")));
    }
    for word in &words {
        let middle = u64::midpoint(word.start_ms, word.end_ms);
        let sounding = pauses.iter().any(|sound| (sound.start_ms..sound.end_ms).contains(&middle));
        far.extend((!sounding).then(|| format!("silence at {word:?}")));
    }
    assert!(far.is_empty(), "{}\n{pauses:?}\n{words:?}", far.join("\n"));
}

#[test]
fn words_found_in_the_agents_channel_lie_within_100_ms_of_where_the_transcript_has_them() {
    let booked = booked(0);
    let right = &booked.recording.channels[1];
    let mut checked = 0;
    for entry in entries(&booked, Speaker::Agent) {
        let plain: Vec<String> = entry.words.iter().map(|word| bare(&word.text)).collect();
        let (from, to) = (ms(entry.start_offset).saturating_sub(300), ms(entry.end_offset) + 300);
        // A word that the recogniser can't pronounce, such as the restaurant's name, leaves its entry unchecked.
        let Some(found) = align(part(right, from, to), &plain) else { continue };
        for (word, found) in entry.words.iter().zip(found) {
            let (told, found_ms) = (ms(word.start_offset), from + found.start_us / 1_000);
            let apart = told.abs_diff(found_ms);
            assert!(apart <= WORD_MS, "`{}` is told at {told} ms and heard at {found_ms} ms", word.text);
            checked += 1;
        }
    }
    assert!(checked >= 15, "only {checked} words could be looked for\n{}", booked.history);
}

fn bare(word: &str) -> String {
    word.to_lowercase().trim_matches(|letter: char| !letter.is_alphanumeric()).to_owned()
}
