//! The caller's audio and what was told beside it, since the last word that is settled: what a fresh stream is fed, so
//! that no word is lost and none comes twice.
//!
//! Knows no provider. Times are microseconds of the call's audio; a stream's own begin at nought where it was opened.

use std::collections::VecDeque;

use crate::audio::{Audio, AudioFormat};
use crate::stt::{Control, Listener};

/// Nothing older than this is kept, whatever is settled: a caller does not speak longer in one breath.
const KEPT_MAX_US: u64 = 60_000_000;
/// While nobody speaks so much is kept: voice is noticed late.
const KEPT_IN_SILENCE_US: u64 = 2_000_000;
/// Before the onset of voice so much is kept: soft beginnings.
const BEFORE_VOICE_US: u64 = 500_000;
/// A fresh stream is fed pieces of this length.
const PIECE_US: u64 = 100_000;

/// What is kept.
pub(super) struct Replay {
    format: AudioFormat,
    pcm: VecDeque<i16>,
    mu_law: VecDeque<u8>,
    /// Call time of the oldest sample kept.
    from_us: u64,
    /// Call time of the next sample.
    until_us: u64,
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
            from_us: 0,
            until_us: 0,
            controls: VecDeque::new(),
            settled_us: 0,
            voice_from_us: None,
            voice_until_us: None,
            asked_for: false,
        }
    }

    /// How far the call's audio has come.
    pub(super) fn until_us(&self) -> u64 {
        self.until_us
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
        self.voice_until_us.unwrap_or(self.until_us)
    }

    /// Whether words were asked for that have not come.
    pub(super) fn is_asked_for(&self) -> bool {
        self.asked_for && self.voice_from_us.is_some()
    }

    pub(super) fn hear(&mut self, audio: Audio<'_>) {
        match audio {
            Audio::Pcm16(samples) => self.pcm.extend(samples),
            Audio::MuLaw(bytes) => self.mu_law.extend(bytes),
        }
        self.until_us += self.us(audio.samples());
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
            Control::NextTurn(_) => self.settle(self.until_us),
        }
        self.controls.push_back((self.until_us, control.clone()));
    }

    /// Words up to here will not be revised.
    pub(super) fn settle(&mut self, until_us: u64) {
        self.settled_us = self.settled_us.max(until_us.min(self.until_us));
        if self.voice_until_us.is_some_and(|last| last <= self.settled_us) {
            (self.voice_from_us, self.voice_until_us) = (None, None);
        }
        self.forget();
    }

    /// Call time at which a fresh stream begins.
    pub(super) fn begin_us(&self) -> u64 {
        let begin = self.from_us.max(self.settled_us.min(self.until_us));
        // Whole samples, so that times stay exact.
        self.from_us + self.us(self.count(begin - self.from_us))
    }

    /// Feeds a fresh stream all that is not settled, from [`Self::begin_us`] on.
    pub(super) fn feed(
        &self,
        listener: &mut dyn Listener,
        mut convert: impl FnMut(Audio<'_>, &mut dyn Listener),
    ) {
        let begin = self.begin_us();
        let mut at = begin;
        if self.voice_from_us.is_some_and(|from| from < begin) {
            listener.control(Control::VoiceStarted(0));
        }
        let mut controls = self.controls.iter().filter(|(of, _)| *of >= begin).peekable();
        while at < self.until_us || controls.peek().is_some() {
            while let Some((_, control)) = controls.next_if(|(of, _)| *of <= at) {
                listener.control(shifted(control.clone(), begin));
            }
            let next =
                controls.peek().map_or(self.until_us, |(of, _)| *of).min(at + PIECE_US).min(self.until_us);
            if next <= at {
                break;
            }
            let (from, to) = (self.count(at - self.from_us), self.count(next - self.from_us));
            match self.format {
                AudioFormat::Pcm16 { .. } => {
                    let piece: Vec<i16> = self.pcm.range(from..to.min(self.pcm.len())).copied().collect();
                    convert(Audio::Pcm16(&piece), listener);
                }
                AudioFormat::MuLaw => {
                    let piece: Vec<u8> =
                        self.mu_law.range(from..to.min(self.mu_law.len())).copied().collect();
                    convert(Audio::MuLaw(&piece), listener);
                }
            }
            at = next;
        }
    }

    fn forget(&mut self) {
        let unsettled = match self.voice_from_us {
            Some(from) => from.saturating_sub(BEFORE_VOICE_US),
            None => self.until_us.saturating_sub(KEPT_IN_SILENCE_US),
        };
        let keep = unsettled.max(self.until_us.saturating_sub(KEPT_MAX_US)).max(self.settled_us);
        let count = self.count(keep.saturating_sub(self.from_us));
        if count == 0 {
            return;
        }
        drop(self.pcm.drain(..count.min(self.pcm.len())));
        drop(self.mu_law.drain(..count.min(self.mu_law.len())));
        self.from_us += self.us(count);
        let from = self.from_us;
        self.controls.retain(|(at, _)| *at >= from);
    }

    fn us(&self, samples: usize) -> u64 {
        samples as u64 * 1_000_000 / u64::from(self.format.sample_rate_hz())
    }

    fn count(&self, us: u64) -> usize {
        (us * u64::from(self.format.sample_rate_hz()) / 1_000_000) as usize
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
