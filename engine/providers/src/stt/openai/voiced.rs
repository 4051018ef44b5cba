//! The voiced stretches of a caller's audio, with a margin on either side.
//!
//! Keeps what has been heard lately, since the voice detector tells of a beginning after it.

use std::collections::VecDeque;

use crate::stt::Control;

/// Taken along before voice and after it, microseconds.
const MARGIN_US: u64 = 300_000;
/// Kept while there is no voice: the margin, and as late as a detector may be.
const KEPT_US: u64 = 1_000_000;
/// Kept until the detector has said anything: a stream can begin in the middle of a caller's words.
const KEPT_AT_FIRST_US: u64 = 30_000_000;

/// Audio as bytes, cut into stretches.
#[derive(Debug)]
pub(super) struct Voiced {
    bytes_per_second: u64,
    width: u64,
    kept: VecDeque<u8>,
    /// Bytes that went before what is kept.
    gone: u64,
    told: bool,
    voice: Voice,
    /// Where the voice of the stretch begins that was not yet taken.
    began_us: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Voice {
    Off,
    On,
    /// It ended there; a stretch waits to be taken.
    Ended(u64),
}

impl Voiced {
    /// Of audio with so many samples a second, of so many bytes each.
    pub fn new(sample_rate_hz: u32, width: u64) -> Self {
        Self {
            bytes_per_second: u64::from(sample_rate_hz) * width,
            width,
            kept: VecDeque::new(),
            gone: 0,
            told: false,
            voice: Voice::Off,
            began_us: 0,
        }
    }

    /// The next audio.
    pub fn hear(&mut self, bytes: &[u8]) {
        self.kept.extend(bytes);
        if self.voice == Voice::Off {
            let kept_us = if self.told { KEPT_US } else { KEPT_AT_FIRST_US };
            let excess = self.kept.len().saturating_sub(self.bytes(kept_us) as usize);
            self.let_go(excess);
        }
    }

    /// What the detector says.
    pub fn follow(&mut self, control: &Control) {
        match *control {
            Control::VoiceStarted(at) => {
                if self.voice == Voice::Off {
                    self.began_us = at;
                }
                self.voice = Voice::On;
            }
            Control::VoiceEnded(last) => {
                if self.voice == Voice::Off {
                    // Nobody told of its beginning: it lies before this stream's.
                    self.began_us = 0;
                }
                self.voice = Voice::Ended(last);
            }
            Control::Finalize | Control::NextTurn(_) => return,
        }
        self.told = true;
    }

    /// Whether a voiced stretch is kept that was not taken.
    pub fn is_voiced(&self) -> bool {
        self.voice != Voice::Off
    }

    /// How much has been heard, microseconds.
    pub fn heard_us(&self) -> u64 {
        (self.gone + self.kept.len() as u64) * 1_000_000 / self.bytes_per_second
    }

    /// Where the voice of the stretch begins, microseconds.
    pub fn began_us(&self) -> u64 {
        self.began_us
    }

    /// The part of the stretch that has not been taken yet, and where it begins; it goes on.
    pub fn take_so_far(&mut self) -> (u64, Vec<u8>) {
        let margin = self.bytes(self.began_us.saturating_sub(MARGIN_US));
        self.let_go(margin.saturating_sub(self.gone) as usize);
        self.take(self.kept.len())
    }

    /// The rest of the stretch, and where it begins; it is over. What comes behind the margin is kept for the next.
    pub fn take_whole(&mut self) -> (u64, Vec<u8>) {
        let margin = self.bytes(self.began_us.saturating_sub(MARGIN_US));
        self.let_go(margin.saturating_sub(self.gone) as usize);
        let until = match self.voice {
            Voice::Ended(last) => self.bytes(last + MARGIN_US),
            Voice::On | Voice::Off => u64::MAX,
        };
        let taken = self.take(until.saturating_sub(self.gone).min(self.kept.len() as u64) as usize);
        // Voice that is on at this moment goes on as a stretch of its own.
        match self.voice {
            Voice::On => self.began_us = self.heard_us(),
            Voice::Ended(_) | Voice::Off => self.voice = Voice::Off,
        }
        taken
    }

    fn take(&mut self, bytes: usize) -> (u64, Vec<u8>) {
        let from_us = self.gone * 1_000_000 / self.bytes_per_second;
        self.gone += bytes as u64;
        (from_us, self.kept.drain(..bytes).collect())
    }

    fn let_go(&mut self, bytes: usize) {
        let bytes = bytes.min(self.kept.len());
        self.kept.drain(..bytes);
        self.gone += bytes as u64;
    }

    /// The byte at which the sample of this time begins.
    fn bytes(&self, us: u64) -> u64 {
        (us.saturating_mul(self.bytes_per_second) / 1_000_000) / self.width * self.width
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A thousand samples a second of one byte, each telling its own tenth of a second.
    fn hear(voiced: &mut Voiced, from_ms: u64, until_ms: u64) {
        let bytes: Vec<u8> = (from_ms..until_ms).map(|ms| (ms / 100) as u8).collect();
        voiced.hear(&bytes);
    }

    fn started(at_ms: u64) -> Control {
        Control::VoiceStarted(at_ms * 1_000)
    }

    fn ended(last_ms: u64) -> Control {
        Control::VoiceEnded(last_ms * 1_000)
    }

    #[test]
    fn a_stretch_has_its_margins_and_the_next_begins_behind_it() {
        let mut voiced = Voiced::new(1_000, 1);
        hear(&mut voiced, 0, 2_000);
        assert!(!voiced.is_voiced());
        voiced.follow(&started(1_900));
        hear(&mut voiced, 2_000, 4_000);
        voiced.follow(&ended(3_500));
        assert!(voiced.is_voiced());
        let (from_us, bytes) = voiced.take_whole();
        assert_eq!((from_us, bytes.len()), (1_600_000, 2_200));
        assert_eq!((bytes.first(), bytes.last()), (Some(&16), Some(&37)));
        assert!(!voiced.is_voiced());
        // The caller goes on within the margin: nothing is sent twice, nothing is left out.
        voiced.follow(&started(3_900));
        hear(&mut voiced, 4_000, 5_000);
        voiced.follow(&ended(4_900));
        let (from_us, bytes) = voiced.take_whole();
        assert_eq!((from_us, bytes.len()), (3_800_000, 1_200));
    }

    #[test]
    fn a_stretch_is_taken_piece_by_piece_without_gap() {
        let mut voiced = Voiced::new(1_000, 1);
        hear(&mut voiced, 0, 1_000);
        voiced.follow(&started(800));
        let (from_us, first) = voiced.take_so_far();
        assert_eq!((from_us, first.len()), (500_000, 500));
        hear(&mut voiced, 1_000, 1_200);
        assert_eq!(voiced.take_so_far(), (1_000_000, [10; 100].into_iter().chain([11; 100]).collect()));
        hear(&mut voiced, 1_200, 1_250);
        voiced.follow(&ended(1_150));
        assert_eq!(voiced.take_whole().1.len(), 50);
        assert!(!voiced.is_voiced());
    }

    #[test]
    fn silence_is_forgotten_but_not_before_the_detector_has_spoken() {
        let mut voiced = Voiced::new(1_000, 1);
        hear(&mut voiced, 0, 5_000);
        voiced.follow(&ended(4_800));
        assert_eq!(voiced.take_whole(), (0, (0..5_000u32).map(|ms| (ms / 100) as u8).collect()));
        hear(&mut voiced, 5_000, 25_000);
        voiced.follow(&started(24_950));
        assert_eq!(voiced.take_so_far().0, 24_650_000);
        assert_eq!(voiced.heard_us(), 25_000_000);
    }
}
