//! The straight pipe from the caller's bytes: codec, resampling, voice and tone detection, transcriber.
//!
//! Works in place on the hall's task: a frame takes some tens of microseconds. Keeps the call's audio clock,
//! which counts samples from the moment the first one came; when a far end sends nothing for a second the
//! clock is kept going with silence, and frames without voice are dropped later if the missing audio
//! arrives after all, so that the audio clock never stays behind or ahead of the call's.

use std::collections::VecDeque;
use std::time::Duration;

use parlance_conversation::{CallTime, Input};
use parlance_media::ears::{Ears, Heard};
use parlance_media::format::{self, AudioFormat, Encoding};
use parlance_media::framer::Framer;
use parlance_media::resample::Resampler;
use parlance_media::tone::ToneEvent;
use parlance_media::vad::VoiceEvent;
use parlance_media::{EAR_FRAME_SAMPLES, EAR_RATE_HZ, FRAME_US};
use parlance_providers::audio::{Audio, AudioFormat as Fed};
use parlance_providers::stt::{Control, Expectation, Listener};

/// Without audio for so long in the middle of the caller's voice, silence stands in for it.
const MISSING_AFTER: Duration = Duration::from_secs(1);
/// The same while the caller is silent: a client that sends only voice must not lose its pauses.
const MISSING_IN_SILENCE: Duration = Duration::from_millis(300);
/// How far behind the clock the silence that stands in is kept, so that late audio still finds its place.
const STAND_IN_LAG: Duration = Duration::from_millis(200);
/// Audio further ahead of the clock than this is not read yet: a client that sends a file at once is
/// slowed down to real time.
pub const AHEAD_MAX: Duration = Duration::from_millis(400);
/// A frame of mu-law: 20 ms at 8 kHz.
const MU_LAW_FRAME: usize = 160;
/// Mu-law's silence.
const MU_LAW_SILENCE: u8 = 0xFF;

/// The caller's side of a call's audio.
pub struct CallerAudio {
    format: AudioFormat,
    decoded: Vec<i16>,
    resampled: Vec<i16>,
    to_ear: Option<Resampler>,
    framer: Framer,
    line: Line,
    /// Call time of the first sample; `None` until it came.
    start: Option<CallTime>,
    /// Samples that came, in the far end's format.
    received: u64,
}

/// What every 16 kHz frame goes through.
struct Line {
    ears: Ears,
    heard: Vec<Heard>,
    listener: Box<dyn Listener>,
    /// The caller's own bytes that are not yet heard, where the transcriber takes them as they are.
    untouched: Option<VecDeque<u8>>,
    /// Frames that went through.
    frames: u64,
    /// Frames of silence that stood in for missing audio and were not made up for yet.
    stood_in: u64,
}

impl CallerAudio {
    /// Hears audio in `format`; every frame goes to `listener`, which is `fed` 16 kHz PCM, or the caller's own mu-law.
    pub fn new(format: AudioFormat, listener: Box<dyn Listener>, fed: Fed) -> Self {
        let untouched = (fed == Fed::MuLaw && format.encoding() == Encoding::MuLaw).then(VecDeque::new);
        let to_ear = (format.sample_rate_hz() != EAR_RATE_HZ)
            .then(|| Resampler::new(format.sample_rate_hz(), EAR_RATE_HZ).ok())
            .flatten();
        Self {
            format,
            decoded: Vec::with_capacity(4_096),
            resampled: Vec::with_capacity(4_096),
            to_ear,
            framer: Framer::new(EAR_RATE_HZ, 0),
            line: Line { ears: Ears::new(), heard: Vec::new(), listener, untouched, frames: 0, stood_in: 0 },
            start: None,
            received: 0,
        }
    }

    /// Takes bytes off the wire; what was found out goes to `facts`, each 16 kHz frame to `record`.
    /// An error names what is wrong with the bytes; nothing of them was taken then.
    pub fn take(
        &mut self,
        now: CallTime,
        bytes: &[u8],
        facts: &mut Vec<Input>,
        mut record: impl FnMut(CallTime, &[i16]),
    ) -> Result<(), format::Error> {
        self.decoded.clear();
        self.format.decode(bytes, &mut self.decoded)?;
        self.received += self.decoded.len() as u64;
        let start = *self.start.get_or_insert(now);
        let samples = match &mut self.to_ear {
            Some(resampler) => {
                self.resampled.clear();
                resampler.process(&self.decoded, &mut self.resampled);
                &self.resampled
            }
            None => &self.decoded,
        };
        let line = &mut self.line;
        if let Some(untouched) = &mut line.untouched {
            untouched.extend(bytes);
        }
        self.framer.push(samples, |frame| {
            let ahead = start + Duration::from_micros(line.frames * FRAME_US) > now;
            if line.stood_in > 0 && ahead && !line.ears.is_voiced() {
                line.stood_in -= 1;
                line.next_bytes();
                return;
            }
            let bytes = line.next_bytes();
            line.pass(start, frame.samples, bytes, facts, &mut record);
        });
        Ok(())
    }

    /// Keeps the audio clock going when a far end sends nothing.
    pub fn stand_in(
        &mut self,
        now: CallTime,
        facts: &mut Vec<Input>,
        mut record: impl FnMut(CallTime, &[i16]),
    ) {
        let Some(start) = self.start else { return };
        if now.since(self.until()) < self.patience() {
            return;
        }
        let silence = [0; EAR_FRAME_SAMPLES];
        while now.since(start + Duration::from_micros(self.line.frames * FRAME_US)) > STAND_IN_LAG {
            self.line.stood_in += 1;
            let bytes = self.line.untouched.is_some().then_some([MU_LAW_SILENCE; MU_LAW_FRAME]);
            self.line.pass(start, &silence, bytes, facts, &mut record);
        }
    }

    /// The caller's audio has been heard up to here; the call's start while there was none.
    pub fn until(&self) -> CallTime {
        match self.start {
            Some(start) => start + Duration::from_micros(self.line.frames * FRAME_US),
            None => CallTime::ZERO,
        }
    }

    /// Call time of the first sample.
    pub fn start(&self) -> CallTime {
        self.start.unwrap_or_default()
    }

    /// How much audio has come, microseconds.
    pub fn received_us(&self) -> u64 {
        parlance_media::samples_to_us(self.received, self.format.sample_rate_hz())
    }

    /// How much audio the transcriber was given, microseconds.
    pub fn listened_us(&self) -> u64 {
        self.line.frames * FRAME_US
    }

    /// Whether any audio has come.
    pub fn has_begun(&self) -> bool {
        self.start.is_some()
    }

    /// When `stand_in` must be called at the latest.
    pub fn next_wake(&self) -> Option<CallTime> {
        self.start.map(|_| self.until() + self.patience())
    }

    fn patience(&self) -> Duration {
        if self.line.ears.is_voiced() { MISSING_AFTER } else { MISSING_IN_SILENCE }
    }

    /// Asks the transcriber for what it has.
    pub fn finalize(&mut self) {
        self.line.listener.control(Control::Finalize);
    }

    /// Closes the transcriber's turn and tells it what may come next.
    pub fn next_turn(&mut self, expectation: Expectation) {
        self.line.listener.control(Control::NextTurn(expectation));
    }
}

impl Line {
    /// The bytes of the frame that is next: the resampler gives a frame of 16 kHz for each 160 of them.
    fn next_bytes(&mut self) -> Option<[u8; MU_LAW_FRAME]> {
        let waiting = self.untouched.as_mut()?;
        Some(std::array::from_fn(|_| waiting.pop_front().unwrap_or(MU_LAW_SILENCE)))
    }

    fn pass(
        &mut self,
        start: CallTime,
        samples: &[i16],
        bytes: Option<[u8; MU_LAW_FRAME]>,
        facts: &mut Vec<Input>,
        record: &mut impl FnMut(CallTime, &[i16]),
    ) {
        let Ok(frame) = <&[i16; EAR_FRAME_SAMPLES]>::try_from(samples) else { return };
        let at_us = self.frames * FRAME_US;
        self.frames += 1;
        record(start + Duration::from_micros(at_us), samples);
        self.heard.clear();
        self.ears.push(at_us, frame, &mut self.heard);
        match &bytes {
            Some(bytes) => self.listener.hear(Audio::MuLaw(bytes)),
            None => self.listener.hear(Audio::Pcm16(samples)),
        }
        for index in 0..self.heard.len() {
            let heard = self.heard[index];
            self.tell(start, heard, facts);
        }
    }

    fn tell(&mut self, start: CallTime, heard: Heard, facts: &mut Vec<Input>) {
        let at = |us: u64| start + Duration::from_micros(us);
        match heard {
            Heard::Voice(VoiceEvent::Started { at_us }) => {
                self.listener.control(Control::VoiceStarted(at_us));
                facts.push(Input::CallerVoiceStarted { at: at(at_us) });
            }
            Heard::Voice(VoiceEvent::Ended { last_voiced_us }) => {
                self.listener.control(Control::VoiceEnded(last_voiced_us));
                facts.push(Input::CallerVoiceEnded { last: at(last_voiced_us) });
            }
            Heard::Tone(ToneEvent::DigitStarted { digit, at_us }) => {
                facts.push(Input::Digit { digit, at: at(at_us) });
            }
            Heard::Tone(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Default, Clone)]
    struct Heard(Arc<Mutex<Vec<Vec<u8>>>>);

    impl Listener for Heard {
        fn hear(&mut self, audio: Audio<'_>) {
            let Audio::MuLaw(bytes) = audio else { panic!("it was to be left as it is") };
            self.0.lock().unwrap().push(bytes.to_vec());
        }

        fn control(&mut self, _: Control) {}
    }

    fn line() -> (CallerAudio, Heard) {
        let heard = Heard::default();
        let format = AudioFormat::new(Encoding::MuLaw, 8_000).unwrap();
        (CallerAudio::new(format, Box::new(heard.clone()), Fed::MuLaw), heard)
    }

    fn take(audio: &mut CallerAudio, ms: u64, bytes: &[u8]) {
        audio.take(CallTime::from_millis(ms), bytes, &mut Vec::new(), |_, _| {}).unwrap();
    }

    #[test]
    fn mu_law_reaches_the_transcriber_byte_for_byte_in_frames_however_it_was_cut() {
        let sent: Vec<u8> = (0..1_600).map(|index| (index % 251) as u8).collect();
        for size in [1, 7, 160, 333, 1_600] {
            let (mut audio, heard) = line();
            sent.chunks(size).for_each(|block| take(&mut audio, 10_000, block));
            let heard = heard.0.lock().unwrap();
            assert!(heard.iter().all(|frame| frame.len() == MU_LAW_FRAME), "blocks of {size}");
            assert_eq!(heard.concat(), sent, "blocks of {size}");
            assert_eq!(audio.listened_us(), 200_000);
        }
    }

    #[test]
    fn silence_that_stood_in_is_made_up_for_in_the_bytes_as_in_the_samples() {
        let (mut audio, heard) = line();
        take(&mut audio, 0, &[MU_LAW_SILENCE; 160]);
        audio.stand_in(CallTime::from_millis(1_000), &mut Vec::new(), |_, _| {});
        let stood_in = heard.0.lock().unwrap().len() - 1;
        assert!(stood_in > 30, "{stood_in} frames");
        // All that is late comes at once, and a frame more that the clock has no room for yet.
        let late: Vec<u8> =
            (0..=stood_in).flat_map(|frame| [(frame as u8 % 8) | 0xF8; MU_LAW_FRAME]).collect();
        let before = audio.listened_us();
        take(&mut audio, 1_000, &late);
        let heard = heard.0.lock().unwrap();
        assert_eq!(heard.len() as u64 * FRAME_US, audio.listened_us(), "bytes and samples keep step");
        let new = &heard[stood_in + 1..];
        assert_eq!(new.len() as u64 * FRAME_US, audio.listened_us() - before);
        assert_eq!(new.first().map(|frame| frame[0]), Some(0xF8), "the first of the late is heard first");
        assert!(new.len() < stood_in, "some frames were dropped");
        assert_eq!(new.last().map(|frame| frame.len()), Some(MU_LAW_FRAME));
    }
}
