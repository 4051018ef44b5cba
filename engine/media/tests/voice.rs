//! What the ears promise about voice, on clips whose speech is known to 10 ms.
//!
//! `cargo test -p parlance-media --test voice -- --nocapture` prints the errors that were measured.

mod clips;

use clips::{Clip, listen, manifest};
use parlance_media::ears::Heard;
use parlance_media::vad::VoiceEvent;

/// A stretch of voice as it was heard, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Span {
    began: u64,
    told_began: u64,
    ended: u64,
    told_ended: u64,
}

fn spans(samples: &[i16]) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    for (told, heard) in listen(samples) {
        match heard {
            Heard::Voice(VoiceEvent::Started { at_us }) => {
                assert!(spans.last().is_none_or(|last| last.ended > 0), "started twice");
                spans.push(Span { began: at_us, told_began: told, ended: 0, told_ended: 0 });
            }
            Heard::Voice(VoiceEvent::Ended { last_voiced_us }) => {
                let last = spans.last_mut().expect("ended before it started");
                assert_eq!(last.ended, 0, "ended twice");
                (last.ended, last.told_ended) = (last_voiced_us, told);
            }
            Heard::Tone(_) => {}
        }
    }
    spans
}

/// Errors over the speech of some clips, in milliseconds, sorted.
#[derive(Default)]
struct Errors {
    onset: Vec<i64>,
    marked_after: Vec<i64>,
    ending: Vec<i64>,
}

impl Errors {
    fn over(clips: &[&Clip]) -> Errors {
        let mut errors = Errors::default();
        for clip in clips {
            let spans = spans(&clip.samples());
            for &(begin, end) in &clip.speech_ms {
                let speech = begin * 1_000..end * 1_000;
                let mut within = spans.iter().filter(|s| s.began < speech.end && s.ended > speech.start);
                let first =
                    within.next().unwrap_or_else(|| panic!("{}: speech at {begin} ms missed", clip.file));
                let last = within.next_back().unwrap_or(first);
                let after = |time: u64, truth_ms: u64| time as i64 / 1_000 - truth_ms as i64;
                errors.onset.push(after(first.began, begin));
                errors.marked_after.push(after(first.told_began, begin));
                errors.ending.push(after(last.ended, end));
            }
        }
        for list in [&mut errors.onset, &mut errors.marked_after, &mut errors.ending] {
            list.sort_unstable();
        }
        errors
    }

    fn print(&self, name: &str) {
        let describe = |list: &[i64]| {
            format!("{:+} to {:+}, median {:+}", list[0], list[list.len() - 1], list[list.len() / 2])
        };
        println!("{name}, {} stretches of speech; ms after the truth:", self.onset.len());
        println!("  onset   {}", describe(&self.onset));
        println!("  marked  {}", describe(&self.marked_after));
        println!("  ending  {}", describe(&self.ending));
    }
}

/// Clips whose speech stands in silence, at 16 kHz or of the telephone.
fn in_silence(clips: &[Clip], telephone: bool) -> Vec<&Clip> {
    let noisy = |clip: &&Clip| clip.is("noise") || clip.is("cough");
    clips
        .iter()
        .filter(|clip| !clip.speech_ms.is_empty() && clip.is("telephone") == telephone && !noisy(clip))
        .collect()
}

fn assert_all_within(errors: &[i64], range: std::ops::RangeInclusive<i64>, what: &str) {
    assert!(errors.iter().all(|error| range.contains(error)), "{what} not within {range:?}: {errors:?}");
}

fn share_within(errors: &[i64], limit: i64) -> f64 {
    errors.iter().filter(|&&error| error <= limit).count() as f64 / errors.len() as f64
}

#[test]
fn all_speech_in_silence_is_found_where_it_is() {
    let clips = manifest();
    let errors = Errors::over(&in_silence(&clips, false));
    errors.print("16 kHz in silence");
    assert!(errors.onset.len() >= 45);
    assert_all_within(&errors.onset, -4..=8, "onset");
    assert_all_within(&errors.ending, -10..=8, "ending");
    // Where it is later than 80 ms a voice begins with 70 ms of breath or friction that scores as noise.
    assert_all_within(&errors.marked_after, 0..=120, "marked");
    assert!(share_within(&errors.marked_after, 60) >= 0.85, "{:?}", errors.marked_after);
}

#[test]
fn all_speech_of_the_telephone_is_found_where_it_is() {
    let clips = manifest();
    let errors = Errors::over(&in_silence(&clips, true));
    errors.print("8 kHz mu-law in silence");
    assert!(errors.onset.len() >= 8);
    assert_all_within(&errors.onset, -4..=8, "onset");
    assert_all_within(&errors.ending, -10..=12, "ending");
    assert_all_within(&errors.marked_after, 0..=60, "marked");
}

#[test]
fn speech_over_room_tone_ends_within_100_ms_of_its_truth() {
    let clips = manifest();
    let room = clips.iter().find(|clip| clip.file == "roomtone_4s.wav").unwrap().samples();
    for clip in in_silence(&clips, false).into_iter().filter(|clip| clip.is("clean")) {
        let over: Vec<i16> =
            clip.samples().iter().zip(room.iter().cycle()).map(|(a, b)| a.saturating_add(*b)).collect();
        let spans = spans(&over);
        let (begin, end) = clip.speech_ms[0];
        let onset = spans[0].began as i64 / 1_000 - begin as i64;
        let ending = spans[spans.len() - 1].ended as i64 / 1_000 - end as i64;
        assert_all_within(&[onset], -4..=8, &clip.file);
        assert_all_within(&[ending], -10..=100, &clip.file);
    }
}

#[test]
fn speech_in_noise_is_found_with_a_wider_error() {
    let clips = manifest();
    let noisy: Vec<&Clip> = clips.iter().filter(|clip| clip.is("noise") && !clip.is("babble")).collect();
    let noisy: Vec<&Clip> = noisy.into_iter().filter(|clip| !clip.speech_ms.is_empty()).collect();
    let errors = Errors::over(&noisy);
    errors.print("pink noise at 20, 10 and 5 dB");
    assert_eq!(errors.onset.len(), 4);
    // The utterance begins with 70 ms of breath, which the noise covers.
    assert_all_within(&errors.onset, 0..=150, "onset");
    assert_all_within(&errors.ending, -100..=150, "ending");
}

#[test]
fn speech_after_a_cough_is_found_where_it_is() {
    let clips = manifest();
    let cough: Vec<&Clip> = clips.iter().filter(|clip| clip.file == "cough_then_u02_slt.wav").collect();
    let errors = Errors::over(&cough);
    assert_all_within(&errors.onset, -4..=4, "onset");
    assert_all_within(&errors.marked_after, 0..=60, "marked");
}

#[test]
fn silence_room_tone_and_pink_noise_are_no_voice() {
    let clips = manifest();
    let quiet = ["silence_4s.wav", "silence_4s.ulaw", "roomtone_4s.wav", "pinknoise_4s.wav"];
    for file in quiet {
        let clip = clips.iter().find(|clip| clip.file == file).unwrap();
        assert_eq!(spans(&clip.samples()), [], "{file}");
    }
}

#[test]
fn noise_before_speech_is_no_voice() {
    for clip in manifest().iter().filter(|clip| clip.is("noise") && !clip.is("babble")) {
        let first_speech = clip.speech_ms.first().map_or(u64::MAX, |speech| speech.0 * 1_000);
        for span in spans(&clip.samples()) {
            assert!(span.began >= first_speech, "{}: {span:?}", clip.file);
        }
    }
}

#[test]
fn an_end_is_told_within_100_ms_of_the_last_voiced_sample_and_a_start_within_160_of_the_onset() {
    for clip in manifest() {
        for span in spans(&clip.samples()) {
            let told = span.told_ended - span.ended;
            assert!((80_000..=100_000).contains(&told), "{}: ended {told} us ago", clip.file);
            assert!(span.told_began - span.began <= 160_000, "{}: {span:?}", clip.file);
            assert!(span.ended > span.began, "{}: {span:?}", clip.file);
        }
    }
}

#[test]
fn the_700_ms_pause_within_a_sentence_is_heard_as_a_pause() {
    for clip in manifest().iter().filter(|clip| clip.is("mid-pause")) {
        let (pause_begin, pause_end) = (clip.speech_ms[0].1 * 1_000, clip.speech_ms[1].0 * 1_000);
        let spans = spans(&clip.samples());
        let pause = spans
            .windows(2)
            .map(|pair| (pair[0].ended, pair[1].began))
            .find(|(from, to)| to - from > 600_000);
        let (from, to) = pause.unwrap_or_else(|| panic!("{}: {spans:?}", clip.file));
        assert!(from.abs_diff(pause_begin) <= 10_000 && to.abs_diff(pause_end) <= 10_000, "{}", clip.file);
    }
}

/// A burst of speech cut out of the middle of a vowel, alone in silence.
fn burst(ms: usize) -> Vec<i16> {
    let clips = manifest();
    let vowel = clips.iter().find(|clip| clip.file == "u02_slt.wav").unwrap().samples();
    let (begin, length) = (16 * 700, 16 * ms);
    [vec![0; 16_000], vowel[begin..begin + length].to_vec(), vec![0; 16_000]].concat()
}

#[test]
fn a_burst_shorter_than_40_ms_starts_nothing_and_a_longer_one_does() {
    for ms in [4, 12, 24, 35] {
        assert_eq!(spans(&burst(ms)), [], "{ms} ms");
    }
    assert_eq!(spans(&burst(120)).len(), 1);
}

#[test]
fn clicks_are_no_voice() {
    let mut samples = vec![0_i16; 48_000];
    for click in (1_600..46_000).step_by(2_400) {
        samples[click..click + 80].fill(20_000);
        samples[click + 80..click + 160].fill(-20_000);
    }
    assert_eq!(spans(&samples), []);
}

#[test]
fn lost_audio_ends_the_voice_where_it_was_last_heard() {
    use parlance_media::vad::VoiceDetector;
    let clips = manifest();
    let samples = clips.iter().find(|clip| clip.file == "u01_slt.wav").unwrap().samples();
    let (frames, _) = samples.as_chunks::<320>();
    let mut detector = VoiceDetector::new();
    for (number, frame) in frames[..50].iter().enumerate() {
        detector.push(number as u64 * 20_000, frame, true);
    }
    assert!(detector.is_voiced());
    let Some(VoiceEvent::Ended { last_voiced_us }) = detector.push(9_000_000, &[0; 320], true) else {
        panic!("a gap ends the voice");
    };
    assert!((960_000..=1_000_000).contains(&last_voiced_us), "{last_voiced_us}");
    assert!(!detector.is_voiced());
    for (number, frame) in frames[10..60].iter().enumerate() {
        let told = detector.push(9_020_000 + number as u64 * 20_000, frame, true);
        if let Some(VoiceEvent::Started { at_us }) = told {
            return assert!(at_us >= 9_020_000, "times go on from the gap: {at_us}");
        }
    }
    panic!("voice after the gap was missed");
}
