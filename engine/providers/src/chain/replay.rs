//! The caller's audio and what was told beside it, since the last word that is settled: what a fresh stream is fed, so
//! that no word is lost and none comes twice.
//!
//! Knows no provider. Times are microseconds of the call's audio; a stream's own begin at nought where it was opened.
//!
//! The join is a sample: the audio before it was another stream's, the audio from it on is the fresh one's. It lies where
//! the last settled word ends, or behind it where the transcriber told that it had listened further. So it is as good as
//! what was told: where a word's time is wrong by less than half of that word, a fragment is left on one side of the
//! join, of which no transcriber makes a word; by more, the word may be lost or come twice. What is told neither with
//! times nor as an answer to a finalize is not known to be settled and comes again. Nothing older than
//! [`KEPT_MAX_US`] comes again.

use std::collections::VecDeque;

use crate::audio::{Audio, AudioFormat};
use crate::stt::{Control, Listener};

/// Nothing older than this is kept, whatever is settled: a caller does not speak longer in one breath.
const KEPT_MAX_US: u64 = 60_000_000;
/// While nobody speaks so much is kept: voice is noticed late.
const KEPT_IN_SILENCE_US: u64 = 2_000_000;
/// Before the onset of voice so much is kept: soft beginnings.
const BEFORE_VOICE_US: u64 = 500_000;
/// Voice that begins is told so late: what is heard at the moment a turn is decided may be the next one's beginning.
const ONSET_US: u64 = 160_000;
/// What is told answers a finalize if it covers the audio up to so little before it.
pub(super) const ANSWER_SHORT_US: u64 = 200_000;
/// A fresh stream is fed pieces of this length.
const PIECE_US: u64 = 100_000;

/// What is kept.
pub(super) struct Replay {
    format: AudioFormat,
    pcm: VecDeque<i16>,
    mu_law: VecDeque<u8>,
    /// The oldest sample kept, counted from the call's first: times are made of counts, so that none is ever lost to
    /// rounding.
    from: u64,
    /// The next sample.
    until: u64,
    controls: VecDeque<(u64, Control)>,
    settled_us: u64,
    /// Voice that no slice has settled began here.
    voice_from_us: Option<u64>,
    /// It ended here; `None` while it goes on.
    voice_until_us: Option<u64>,
    /// It has ended, and what there is was asked for.
    asked_for: bool,
}

impl Replay {
    /// Keeps audio of this format.
    pub(super) fn new(format: AudioFormat) -> Self {
        Self {
            format,
            pcm: VecDeque::new(),
            mu_law: VecDeque::new(),
            from: 0,
            until: 0,
            controls: VecDeque::new(),
            settled_us: 0,
            voice_from_us: None,
            voice_until_us: None,
            asked_for: false,
        }
    }

    /// How far the call's audio has come.
    pub(super) fn until_us(&self) -> u64 {
        self.us(self.until)
    }

    /// Whether somebody speaks now.
    pub(super) fn is_voiced(&self) -> bool {
        self.voice_from_us.is_some() && self.voice_until_us.is_none()
    }

    /// Whether there is voice that no slice has settled.
    pub(super) fn has_unsettled_voice(&self) -> bool {
        self.voice_from_us.is_some()
    }

    /// Where the voice that no slice has settled began.
    pub(super) fn voice_from_us(&self) -> Option<u64> {
        self.voice_from_us
    }

    /// Where it ended, or how far it has come.
    pub(super) fn voiced_until_us(&self) -> u64 {
        self.voice_until_us.unwrap_or(self.until_us())
    }

    /// Whether words were asked for that have not come.
    pub(super) fn is_asked_for(&self) -> bool {
        self.asked_for && self.voice_from_us.is_some()
    }

    /// How far the audio had come when the words were asked for that have not come; `None` if none were.
    pub(super) fn asked_us(&self) -> Option<u64> {
        let asked = self.controls.iter().rfind(|(_, control)| *control == Control::Finalize);
        asked.filter(|_| self.is_asked_for()).map(|(at, _)| self.us(*at))
    }

    /// What was asked for has come, be it nothing. A watermark may end a little before the voice did.
    pub(super) fn answered(&mut self) {
        self.asked_for = false;
        if self.voice_until_us.is_some_and(|last| last <= self.settled_us + ANSWER_SHORT_US) {
            (self.voice_from_us, self.voice_until_us) = (None, None);
        }
    }

    pub(super) fn hear(&mut self, audio: Audio<'_>) {
        match audio {
            Audio::Pcm16(samples) => self.pcm.extend(samples),
            Audio::MuLaw(bytes) => self.mu_law.extend(bytes),
        }
        self.until += audio.samples() as u64;
        self.forget();
    }

    pub(super) fn control(&mut self, control: &Control) {
        match control {
            Control::VoiceStarted(at) => {
                self.voice_from_us.get_or_insert(*at);
                (self.voice_until_us, self.asked_for) = (None, false);
            }
            Control::VoiceEnded(last) => self.voice_until_us = Some(*last),
            Control::Finalize => self.asked_for = !self.is_voiced(),
            // What was said is closed: only voice that goes on belongs to the next turn.
            Control::NextTurn(_) if self.is_voiced() => {}
            Control::NextTurn(_) => {
                let last = self.voice_until_us.unwrap_or(0);
                self.settle(last.max(self.until_us().saturating_sub(ONSET_US)));
                (self.voice_from_us, self.voice_until_us, self.asked_for) = (None, None, false);
                // A fresh stream is opened in the turn that begins now.
                return self.controls.clear();
            }
        }
        self.controls.push_back((self.until, control.clone()));
    }

    /// Words up to here will not be revised.
    pub(super) fn settle(&mut self, until_us: u64) {
        self.settled_us = self.settled_us.max(until_us.min(self.until_us()));
        if self.voice_until_us.is_some_and(|last| last <= self.settled_us) {
            (self.voice_from_us, self.voice_until_us) = (None, None);
        }
        self.forget();
    }

    /// Call time at which a fresh stream begins.
    pub(super) fn begin_us(&self) -> u64 {
        self.us(self.begin())
    }

    /// The sample a fresh stream begins with.
    fn begin(&self) -> u64 {
        self.count(self.settled_us).clamp(self.from, self.until)
    }

    /// Feeds a fresh stream all that is not settled, from [`Self::begin_us`] on.
    pub(super) fn feed(
        &self,
        listener: &mut dyn Listener,
        mut convert: impl FnMut(Audio<'_>, &mut dyn Listener),
    ) {
        let (begin, begin_us) = (self.begin(), self.begin_us());
        let mut at = begin;
        let is_voiced = self.voice_from_us.is_some_and(|from| from < begin_us);
        if is_voiced {
            listener.control(Control::VoiceStarted(0));
        }
        // What that says already, and the turn the stream was opened in, is not told again.
        let is_told = |control: &Control| match control {
            Control::VoiceStarted(from) => is_voiced && *from < begin_us,
            Control::NextTurn(_) => true,
            Control::VoiceEnded(_) | Control::Finalize => false,
        };
        let of_it = |(of, control): &&(u64, Control)| *of > begin || *of == begin && !is_told(control);
        let mut controls = self.controls.iter().filter(of_it).peekable();
        while at < self.until || controls.peek().is_some() {
            while let Some((_, control)) = controls.next_if(|(of, _)| *of <= at) {
                listener.control(shifted(control.clone(), begin_us));
            }
            let piece = at + self.count(PIECE_US);
            let next = controls.peek().map_or(self.until, |(of, _)| *of).min(piece).min(self.until);
            if next <= at {
                break;
            }
            let range = (at - self.from) as usize..(next - self.from) as usize;
            match self.format {
                AudioFormat::Pcm16 { .. } => {
                    let piece: Vec<i16> = self.pcm.range(range).copied().collect();
                    convert(Audio::Pcm16(&piece), listener);
                }
                AudioFormat::MuLaw => {
                    let piece: Vec<u8> = self.mu_law.range(range).copied().collect();
                    convert(Audio::MuLaw(&piece), listener);
                }
            }
            at = next;
        }
    }

    fn forget(&mut self) {
        let until_us = self.until_us();
        let unsettled = match self.voice_from_us {
            Some(from) => from.saturating_sub(BEFORE_VOICE_US),
            None => until_us.saturating_sub(KEPT_IN_SILENCE_US),
        };
        let keep = unsettled.max(until_us.saturating_sub(KEPT_MAX_US)).max(self.settled_us);
        let count = self.count(keep).saturating_sub(self.from) as usize;
        if count == 0 {
            return;
        }
        drop(self.pcm.drain(..count.min(self.pcm.len())));
        drop(self.mu_law.drain(..count.min(self.mu_law.len())));
        self.from += count as u64;
        let from = self.from;
        self.controls.retain(|(at, _)| *at >= from);
    }

    fn us(&self, samples: u64) -> u64 {
        samples * 1_000_000 / u64::from(self.format.sample_rate_hz())
    }

    fn count(&self, us: u64) -> u64 {
        us * u64::from(self.format.sample_rate_hz()) / 1_000_000
    }
}

/// A control with its times as a stream that began then counts them.
pub(super) fn shifted(control: Control, begin_us: u64) -> Control {
    match control {
        Control::VoiceStarted(at) => Control::VoiceStarted(at.saturating_sub(begin_us)),
        Control::VoiceEnded(at) => Control::VoiceEnded(at.saturating_sub(begin_us)),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stt::Expectation;

    /// What a stream was fed: samples, and controls with the count of samples before them.
    #[derive(Default)]
    struct Fed(Vec<i16>, Vec<(usize, Control)>);

    impl Listener for Fed {
        fn hear(&mut self, audio: Audio<'_>) {
            let Audio::Pcm16(samples) = audio else { panic!("it was fed PCM") };
            self.0.extend(samples);
        }

        fn control(&mut self, control: Control) {
            self.1.push((self.0.len(), control));
        }
    }

    fn fed(replay: &Replay) -> Fed {
        let mut fed = Fed::default();
        replay.feed(&mut fed, |audio, listener| listener.hear(audio));
        fed
    }

    #[test]
    fn a_fresh_stream_is_fed_from_the_settled_sample_on_wherever_frames_were_cut() {
        let mut replay = Replay::new(AudioFormat::PCM_16K);
        replay.control(&Control::VoiceStarted(0));
        let samples: Vec<i16> = (0..30_000).collect();
        for (index, frame) in samples.chunks(333).enumerate() {
            replay.hear(Audio::Pcm16(frame));
            // Times with odd samples, and some in the past.
            replay.settle(index as u64 * 10_037);
        }
        let begin = replay.begin_us() as usize * 16 / 1_000;
        let fed = fed(&replay);
        assert_eq!((fed.0.len(), fed.0.last()), (30_000 - fed.0[0] as usize, Some(&29_999)));
        assert!((fed.0[0] as usize).abs_diff(begin) <= 1, "{} and {begin}", fed.0[0]);
    }

    #[test]
    fn an_hour_of_odd_frames_shifts_nothing() {
        let mut replay = Replay::new(AudioFormat::PCM_16K);
        let frame = [7; 319];
        for _ in 0..3_600 * 50 {
            replay.hear(Audio::Pcm16(&frame));
        }
        let fed = fed(&replay);
        assert_eq!(replay.until_us() - replay.begin_us(), 2_000_000);
        assert_eq!(fed.0.len(), 32_000);
    }

    #[test]
    fn voice_that_had_begun_when_a_turn_was_decided_and_was_told_later_is_fed_from_its_beginning() {
        let mut replay = Replay::new(AudioFormat::PCM_16K);
        replay.control(&Control::VoiceStarted(0));
        replay.hear(Audio::Pcm16(&[1; 16_000]));
        replay.control(&Control::VoiceEnded(1_000_000));
        replay.control(&Control::Finalize);
        replay.hear(Audio::Pcm16(&[0; 16_000]));
        replay.control(&Control::NextTurn(Expectation::default()));
        replay.hear(Audio::Pcm16(&[2; 800]));
        replay.control(&Control::VoiceStarted(1_960_000));
        let fed = fed(&replay);
        assert_eq!((replay.begin_us(), fed.0.len()), (1_840_000, 2_560 + 800));
        assert_eq!(
            fed.1,
            [(3_360, Control::VoiceStarted(120_000))],
            "and nothing that was told in the turn before"
        );
        // A turn that was decided in the middle of its last word's breath: none of that comes again.
        let mut replay = Replay::new(AudioFormat::PCM_16K);
        replay.control(&Control::VoiceStarted(0));
        replay.hear(Audio::Pcm16(&[1; 16_000]));
        replay.control(&Control::VoiceEnded(950_000));
        replay.control(&Control::NextTurn(Expectation::default()));
        assert_eq!((replay.begin_us(), replay.has_unsettled_voice()), (950_000, false));
    }

    #[test]
    fn controls_come_again_at_their_places_but_not_those_that_opened_the_stream() {
        let mut replay = Replay::new(AudioFormat::PCM_16K);
        replay.hear(Audio::Pcm16(&[0; 16_000]));
        replay.control(&Control::NextTurn(Expectation::default()));
        replay.hear(Audio::Pcm16(&[1; 3_200]));
        replay.control(&Control::VoiceStarted(1_050_000));
        replay.hear(Audio::Pcm16(&[1; 3_200]));
        replay.control(&Control::VoiceEnded(1_300_000));
        replay.control(&Control::Finalize);
        let fed = fed(&replay);
        assert_eq!(fed.0.len(), 2_560 + 6_400, "and what may have been the beginning of that voice");
        let expected = [
            (5_760, Control::VoiceStarted(210_000)),
            (8_960, Control::VoiceEnded(460_000)),
            (8_960, Control::Finalize),
        ];
        assert_eq!(fed.1, expected);
        replay.settle(1_250_000);
        assert_eq!(super::tests::fed(&replay).1[0], (0, Control::VoiceStarted(0)), "it is in mid-voice");
        assert_eq!(super::tests::fed(&replay).1.len(), 3);
        replay.settle(1_300_000);
        assert!(!replay.has_unsettled_voice());
    }
}
