//! Voice detection: when a caller's voice starts and ends.
//!
//! Takes 16 kHz frames with their call audio time; gives [`VoiceEvent`]s. Hears coughs and babble as voice
//! at times: what a voice means is turn-taking's business. Tones fool it too; [`crate::ears`] removes them.
//! Enter at [`VoiceDetector::push`].
//!
//! Two witnesses must agree. The neural score (`earshot`, one value each 16 ms) knows speech from noise but
//! trails the sound by 20-40 ms at an onset and 60-80 ms at an ending. The level, in 4 ms steps against a
//! noise floor, knows no speech but is exact in time. So the score says *whether*, the level says *when*.

use earshot::Detector;

use crate::level::{power, power_dbfs};
use crate::{EAR_RATE_HZ, samples_to_us, us_to_samples};

/// Samples the network takes at once: 16 ms.
const BLOCK: usize = 256;
/// Samples of a level step: 4 ms.
const STEP: usize = 64;

/// Score that starts voice.
const START_SCORE: f32 = 0.6;
/// Score that starts voice when two blocks in a row have it; a cough or a slammed door gets there for one.
const START_SCORE_TWICE: f32 = 0.5;
/// The same in the first [`SETTLING_BLOCKS`]: steady noise looks like speech to a network that just began.
const SETTLING_SCORE: f32 = 0.65;
const SETTLING_BLOCKS: u32 = 12;
/// Score down to which a block still counts as voice while the caller speaks.
const KEEP_SCORE: f32 = 0.45;

/// Sound shorter than this starts no voice: clicks, pops, a tap on the microphone.
const MIN_SOUND_STEPS: u32 = 10;
/// A dip of up to this many steps does not break a sound in two.
const MAX_DIP_STEPS: u32 = 3;
/// How far before the decision an onset may be put: soft consonants run ahead of the score.
const LOOK_BACK_SAMPLES: u64 = 160 * 16;
/// Voice ends once this much audio brought none; with 20 ms frames the event is 80-100 ms after the voice.
const HANG_SAMPLES: u64 = 80 * 16;

/// A step this loud is sound even over no noise at all; quieter ones never are.
const GATE_MIN_DBFS: f32 = -66.0;
const FLOOR_MIN_DBFS: f32 = GATE_MIN_DBFS - UNSURE_OVER_FLOOR_DB;
/// Score from which the network is sure of speech, so that the level has less to prove.
const SURE_SCORE: f32 = 0.7;
/// How far sound stands above the noise floor where the score is sure of it.
const SURE_OVER_FLOOR_DB: f32 = 6.0;
/// The same where it is not: more than noise swings by itself, as the score trails in noise by 300 ms.
const UNSURE_OVER_FLOOR_DB: f32 = 12.0;
/// Score below which a block's level may raise the noise floor.
const NOISE_SCORE: f32 = 0.4;
/// How fast the floor rises, a block: it meets a new noise within a second.
const FLOOR_RISE_DB: f32 = 1.5;
/// Share of the way to a block's level that the floor goes: its value is the noise's mean, not its dips.
const FLOOR_SHARE: f32 = 0.25;
/// Speech falls quiet between syllables; what stayed louder than some level for this many stretches of
/// [`STRETCH_BLOCKS`], 3 s together, is noise up to that level, whatever the score says.
const STRETCHES: usize = 16;
const STRETCH_BLOCKS: u32 = 12;

/// What the detector found out in a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VoiceEvent {
    /// The caller's voice is on.
    Started {
        /// Estimated onset: 40-60 ms before the end of the frame that told for most voices, 160 ms at most.
        at_us: u64,
    },
    /// The caller's voice is off.
    Ended {
        /// Estimated time of the last voiced sample: 80-100 ms before the end of the frame that told.
        last_voiced_us: u64,
    },
}

/// The voice detector of one caller's audio.
pub struct VoiceDetector {
    network: Box<Detector>,
    block: [i16; BLOCK],
    filled: usize,
    /// Blocks judged since the network began.
    blocks: u32,
    /// Position after the last sample taken, at 16 kHz from the start of the call.
    position: u64,
    sound: Sound,
    /// The score of the block before.
    score: f32,
    /// Whether the score alone would start voice.
    likely: bool,
    voiced: bool,
    /// Position after the last voiced sample so far.
    last_voiced: u64,
}

impl Default for VoiceDetector {
    fn default() -> Self {
        VoiceDetector {
            network: Detector::default_boxed(),
            block: [0; BLOCK],
            filled: 0,
            blocks: 0,
            position: 0,
            sound: Sound::default(),
            score: 0.0,
            likely: false,
            voiced: false,
            last_voiced: 0,
        }
    }
}

impl VoiceDetector {
    /// A detector that has heard nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Hears 16 kHz `samples` that begin at `at_us`; the bounds of [`VoiceEvent`] hold for frames of 20 ms.
    /// Where they do not follow the ones before to a millisecond, audio was lost: the detector begins anew, and
    /// voice that was on has ended. Without `may_start` voice that is off stays off, though the sound is
    /// listened to.
    pub fn push(&mut self, at_us: u64, samples: &[i16], may_start: bool) -> Option<VoiceEvent> {
        let at = us_to_samples(at_us, EAR_RATE_HZ);
        let lost = at.abs_diff(self.position) > 16;
        let ended = if lost { self.restart(at) } else { None };
        self.take(samples);
        ended.or_else(|| self.decide(may_start))
    }

    /// Leaves out the audio up to `at_us`, because it is known not to be voice, and forgets what was heard.
    /// Ends a voice that was on, at the last sample that was judged voiced.
    pub fn skip_to(&mut self, at_us: u64) -> Option<VoiceEvent> {
        self.restart(us_to_samples(at_us, EAR_RATE_HZ))
    }

    /// Whether voice is on.
    #[must_use]
    pub fn is_voiced(&self) -> bool {
        self.voiced
    }

    fn restart(&mut self, at: u64) -> Option<VoiceEvent> {
        let ended = self.voiced.then(|| VoiceEvent::Ended { last_voiced_us: us(self.last_voiced) });
        self.network.reset();
        self.sound.end();
        (self.filled, self.blocks, self.voiced) = (0, 0, false);
        (self.score, self.likely) = (0.0, false);
        self.position = at;
        self.last_voiced = self.last_voiced.min(at);
        ended
    }

    fn take(&mut self, mut samples: &[i16]) {
        while !samples.is_empty() {
            let count = samples.len().min(BLOCK - self.filled);
            let (now, later) = samples.split_at(count);
            self.block[self.filled..self.filled + count].copy_from_slice(now);
            self.filled += count;
            self.position += count as u64;
            samples = later;
            if self.filled == BLOCK {
                self.filled = 0;
                self.judge_block();
            }
        }
    }

    fn judge_block(&mut self) {
        let score = self.network.predict_i16(&self.block);
        let start = self.position - BLOCK as u64;
        self.blocks = self.blocks.saturating_add(1);
        self.likely = if self.blocks > SETTLING_BLOCKS {
            score >= START_SCORE || (score >= START_SCORE_TWICE && self.score >= START_SCORE_TWICE)
        } else {
            score >= SETTLING_SCORE
        };
        self.score = score;
        let loud_until = self.sound.hear(&self.block, start, score);
        if let Some(end) = loud_until
            && self.voiced
            && score >= KEEP_SCORE
        {
            self.last_voiced = end;
        }
    }

    fn decide(&mut self, may_start: bool) -> Option<VoiceEvent> {
        if self.voiced {
            let over = self.position >= self.last_voiced + HANG_SAMPLES;
            return over.then(|| {
                self.voiced = false;
                VoiceEvent::Ended { last_voiced_us: us(self.last_voiced) }
            });
        }
        let onset = self.sound.onset().filter(|_| self.likely && may_start)?;
        let earliest = self.position.saturating_sub(LOOK_BACK_SAMPLES).max(self.last_voiced);
        self.voiced = true;
        self.last_voiced = self.sound.last_loud;
        Some(VoiceEvent::Started { at_us: us(onset.max(earliest)) })
    }
}

fn us(position: u64) -> u64 {
    samples_to_us(position, EAR_RATE_HZ)
}

/// The stretch of sound above the noise that is going on, and the noise.
struct Sound {
    floor_dbfs: f32,
    /// Where the stretch began; none while there is only noise.
    began: Option<u64>,
    loud_steps: u32,
    /// Loud steps without one that was not.
    loud_run: u32,
    dip_steps: u32,
    /// Position after the last loud step.
    last_loud: u64,
    quietest: Quietest,
}

impl Default for Sound {
    fn default() -> Self {
        Sound {
            floor_dbfs: FLOOR_MIN_DBFS,
            began: None,
            loud_steps: 0,
            loud_run: 0,
            dip_steps: 0,
            last_loud: 0,
            quietest: Quietest::default(),
        }
    }
}

impl Sound {
    /// Measures a block that begins at `start`; tells where its last loud step ended, if it has one.
    fn hear(&mut self, block: &[i16; BLOCK], start: u64, score: f32) -> Option<u64> {
        let over = if score >= SURE_SCORE { SURE_OVER_FLOOR_DB } else { UNSURE_OVER_FLOOR_DB };
        let gate = (self.floor_dbfs + over).max(GATE_MIN_DBFS);
        let mut total = 0.0;
        let mut loud_until = None;
        for (step, samples) in block.chunks_exact(STEP).enumerate() {
            let power = power(samples);
            total += power;
            let step_start = start + (step * STEP) as u64;
            if power_dbfs(power / STEP as f32) >= gate {
                self.loud_step(step_start);
                // A single step is how room tone swings while the score still trails the voice.
                if self.loud_run > 1 {
                    loud_until = Some(step_start + STEP as u64);
                }
            } else {
                self.quiet_step();
            }
        }
        self.follow_noise(power_dbfs(total / BLOCK as f32), score < NOISE_SCORE);
        loud_until
    }

    fn loud_step(&mut self, start: u64) {
        self.began.get_or_insert(start);
        self.loud_steps += 1;
        self.loud_run += 1;
        self.dip_steps = 0;
        self.last_loud = start + STEP as u64;
    }

    fn quiet_step(&mut self) {
        self.dip_steps += 1;
        self.loud_run = 0;
        if self.dip_steps > MAX_DIP_STEPS {
            self.end();
        }
    }

    fn end(&mut self) {
        (self.began, self.loud_steps, self.dip_steps) = (None, 0, 0);
    }

    fn follow_noise(&mut self, level_dbfs: f32, is_noise: bool) {
        let change = (level_dbfs - self.floor_dbfs) * FLOOR_SHARE;
        if change < 0.0 || is_noise {
            self.floor_dbfs += change.min(FLOOR_RISE_DB);
        }
        let quietest = self.quietest.hear(level_dbfs);
        self.floor_dbfs = self.floor_dbfs.max(quietest).max(FLOOR_MIN_DBFS);
    }

    /// Where the sound that is going on began, once it is too long to be a click.
    fn onset(&self) -> Option<u64> {
        self.began.filter(|_| self.loud_steps >= MIN_SOUND_STEPS)
    }
}

/// The quietest block of the last 3 s, kept by stretches.
struct Quietest {
    stretches: [f32; STRETCHES],
    blocks: u32,
}

impl Default for Quietest {
    fn default() -> Self {
        Quietest { stretches: [f32::INFINITY; STRETCHES], blocks: 0 }
    }
}

impl Quietest {
    /// Takes a block's level; gives the lowest, or no bound while less than a stretch was heard.
    fn hear(&mut self, level_dbfs: f32) -> f32 {
        self.stretches[0] = self.stretches[0].min(level_dbfs);
        self.blocks += 1;
        if self.blocks == STRETCH_BLOCKS {
            self.blocks = 0;
            self.stretches.rotate_right(1);
            self.stretches[0] = f32::INFINITY;
        }
        if self.stretches[1] == f32::INFINITY {
            return f32::NEG_INFINITY;
        }
        self.stretches.iter().copied().fold(f32::INFINITY, f32::min)
    }
}
