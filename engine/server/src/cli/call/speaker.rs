//! The far end's loudspeaker: plays the agent's audio in real time and says honestly how far it came.
//!
//! It is what a telephone or a browser would be to the engine: it plays what has arrived, falls silent when
//! nothing has, forgets what it has not played when told to clear, and reports positions only of samples it
//! played. It reads no clock; [`Speaker::play`] is called once a frame.

use std::collections::VecDeque;

use parlance_media::format::AudioFormat;
use parlance_proto::v1::{AgentAudio, PlaybackProgress};

/// Played audio between two reports without a mark, in microseconds.
const REPORT_EVERY_US: u64 = 100_000;

/// Something to play, or a place to report.
#[derive(Debug)]
enum Piece {
    Audio { reply: u32, position_us: u64, samples: Vec<i16>, played: usize },
    Mark { reply: u32, position_us: u64 },
}

/// The last sample played: which reply, and where in its audio the next one lies.
#[derive(Debug, Clone, Copy)]
struct Place {
    reply: u32,
    position_us: u64,
    reported_us: Option<u64>,
}

/// A loudspeaker with its queue.
#[derive(Debug)]
pub struct Speaker {
    format: AudioFormat,
    queue: VecDeque<Piece>,
    place: Option<Place>,
    /// Silent samples since the last audio; a gap if the same reply goes on right there.
    silent: u64,
    played: u64,
    gaps: u32,
}

/// What one frame of playing came to.
#[derive(Debug, Default)]
pub struct Played {
    /// Samples of the agent among those played; the rest was silence.
    pub agent_samples: usize,
    /// What to tell the engine.
    pub reports: Vec<PlaybackProgress>,
}

impl Speaker {
    /// A silent loudspeaker for audio in `format`.
    #[must_use]
    pub const fn new(format: AudioFormat) -> Self {
        Self { format, queue: VecDeque::new(), place: None, silent: 0, played: 0, gaps: 0 }
    }

    /// Queues audio that arrived.
    ///
    /// # Errors
    /// When the bytes are no whole samples.
    pub fn take(&mut self, audio: &AgentAudio) -> Result<(), parlance_media::format::Error> {
        let mut samples = Vec::new();
        self.format.decode(&audio.data, &mut samples)?;
        let position_us = micros(audio.position.as_ref());
        self.queue.push_back(Piece::Audio { reply: audio.reply_id, position_us, samples, played: 0 });
        Ok(())
    }

    /// Queues a place to report when it is reached.
    pub fn mark(&mut self, reply: u32, position: Option<&prost_types::Duration>) {
        self.queue.push_back(Piece::Mark { reply, position_us: micros(position) });
    }

    /// Forgets what is queued of `reply`, and tells how far it was really played.
    pub fn clear(&mut self, reply: u32) -> Option<PlaybackProgress> {
        self.queue.retain(|piece| match piece {
            Piece::Audio { reply: of, .. } | Piece::Mark { reply: of, .. } => *of != reply,
        });
        // What comes after a clear begins anew: the silence before it is wanted.
        let place = self.place.take_if(|place| place.reply == reply)?;
        self.silent = 0;
        Some(progress(place.reply, place.position_us))
    }

    /// Nothing is left to play.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        !self.queue.iter().any(|piece| matches!(piece, Piece::Audio { .. }))
    }

    /// Times a reply's audio ran out in mid-reply and went on later at the same place.
    #[must_use]
    pub const fn gaps(&self) -> u32 {
        self.gaps
    }

    /// Milliseconds of the agent played so far.
    #[must_use]
    pub fn played_ms(&self) -> u64 {
        self.played * 1_000 / u64::from(self.format.sample_rate_hz())
    }

    /// Plays the next `count` samples into `out`, silence where there is nothing.
    pub fn play(&mut self, count: usize, out: &mut Vec<i16>) -> Played {
        let mut result = Played::default();
        let end = out.len() + count;
        while out.len() < end {
            match self.queue.pop_front() {
                Some(Piece::Mark { reply, position_us }) => {
                    self.reach(reply, position_us, &mut result.reports)
                }
                Some(Piece::Audio { reply, position_us, samples, played }) => {
                    let take = (samples.len() - played).min(end - out.len());
                    out.extend_from_slice(&samples[played..played + take]);
                    result.agent_samples += take;
                    self.advance(reply, position_us, played, take);
                    if played + take < samples.len() {
                        self.queue.push_front(Piece::Audio {
                            reply,
                            position_us,
                            samples,
                            played: played + take,
                        });
                    }
                }
                None => {
                    self.silent += (end - out.len()) as u64;
                    out.resize(end, 0);
                }
            }
        }
        self.reach_marks(&mut result.reports);
        self.report_progress(&mut result.reports);
        result
    }

    /// Notes that `take` samples of a piece were played, and whether a gap came before them.
    fn advance(&mut self, reply: u32, position_us: u64, played: usize, take: usize) {
        let rate = self.format.sample_rate_hz();
        let from_us = position_us + parlance_media::samples_to_us(played as u64, rate);
        let goes_on = self.place.filter(|place| place.reply == reply);
        if self.silent > 0 && goes_on.is_some_and(|place| from_us.abs_diff(place.position_us) < 1_000) {
            self.gaps += 1;
        }
        self.silent = 0;
        self.played += take as u64;
        let to_us = position_us + parlance_media::samples_to_us((played + take) as u64, rate);
        let reported_us = goes_on.map_or(Some(from_us), |place| place.reported_us);
        self.place = Some(Place { reply, position_us: to_us, reported_us });
    }

    /// Reports the marks that stand at the head of the queue: the audio before them was played.
    fn reach_marks(&mut self, reports: &mut Vec<PlaybackProgress>) {
        while let Some(Piece::Mark { reply, position_us }) = self.queue.front() {
            let (reply, position_us) = (*reply, *position_us);
            self.queue.pop_front();
            self.reach(reply, position_us, reports);
        }
    }

    fn reach(&mut self, reply: u32, position_us: u64, reports: &mut Vec<PlaybackProgress>) {
        if let Some(place) = self.place.as_mut().filter(|place| place.reply == reply) {
            place.reported_us = Some(position_us);
        }
        reports.push(progress(reply, position_us));
    }

    /// Reports without being asked: every 100 ms of played audio, and when the queue has run dry.
    fn report_progress(&mut self, reports: &mut Vec<PlaybackProgress>) {
        let dry = self.queue.is_empty();
        let Some(place) = self.place.as_mut() else { return };
        let since = place.position_us.saturating_sub(place.reported_us.unwrap_or(0));
        if since >= REPORT_EVERY_US || (dry && since > 0) {
            place.reported_us = Some(place.position_us);
            reports.push(progress(place.reply, place.position_us));
        }
    }
}

fn progress(reply_id: u32, position_us: u64) -> PlaybackProgress {
    let seconds = i64::try_from(position_us / 1_000_000).unwrap_or(i64::MAX);
    let nanos = (position_us % 1_000_000) as i32 * 1_000;
    PlaybackProgress { reply_id, position: Some(prost_types::Duration { seconds, nanos }) }
}

/// Microseconds of a position; negative ones do not exist and count as 0.
fn micros(position: Option<&prost_types::Duration>) -> u64 {
    position.map_or(0, |at| {
        u64::try_from(at.seconds).unwrap_or(0) * 1_000_000 + u64::try_from(at.nanos).unwrap_or(0) / 1_000
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use parlance_media::format::Encoding;

    const FRAME: usize = 320;

    fn speaker() -> Speaker {
        Speaker::new(AudioFormat::new(Encoding::Pcm16Le, 16_000).expect("16 kHz PCM is spoken"))
    }

    fn frame(reply_id: u32, at_ms: u64) -> AgentAudio {
        let position = progress(reply_id, at_ms * 1_000).position;
        AgentAudio { reply_id, sequence: 1, position, data: vec![1_u8; FRAME * 2].into() }
    }

    fn play(speaker: &mut Speaker) -> Vec<(u32, u64)> {
        let mut out = Vec::new();
        let played = speaker.play(FRAME, &mut out);
        assert_eq!(out.len(), FRAME, "a loudspeaker plays in real time, whatever it has");
        played
            .reports
            .iter()
            .map(|report| (report.reply_id, micros(report.position.as_ref()) / 1_000))
            .collect()
    }

    #[test]
    fn only_what_was_played_is_reported() {
        let mut speaker = speaker();
        (0..7).for_each(|n| speaker.take(&frame(1, n * 20)).expect("whole samples"));
        let reports: Vec<_> = (0..8).flat_map(|_| play(&mut speaker)).collect();
        assert_eq!(reports, [(1, 100), (1, 140)], "every 100 ms, and at the end of what there was");
    }

    #[test]
    fn a_mark_comes_back_when_the_audio_before_it_was_played() {
        let mut speaker = speaker();
        speaker.take(&frame(1, 0)).expect("whole samples");
        speaker.take(&frame(1, 20)).expect("whole samples");
        speaker.mark(1, progress(1, 40_000).position.as_ref());
        assert_eq!(play(&mut speaker), []);
        assert_eq!(play(&mut speaker), [(1, 40)]);
    }

    #[test]
    fn cleared_audio_is_neither_played_nor_reported_and_its_marks_do_not_come_back() {
        let mut speaker = speaker();
        (0..6).for_each(|n| speaker.take(&frame(1, n * 20)).expect("whole samples"));
        speaker.mark(1, progress(1, 120_000).position.as_ref());
        play(&mut speaker);
        let heard = speaker.clear(1).expect("some of it was played");
        assert_eq!(micros(heard.position.as_ref()), 20_000);
        assert_eq!(play(&mut speaker), []);
        assert!(speaker.is_silent());
    }

    #[test]
    fn a_reply_that_runs_dry_and_goes_on_is_a_gap_and_a_hold_is_not() {
        let mut speaker = speaker();
        speaker.take(&frame(1, 0)).expect("whole samples");
        play(&mut speaker);
        play(&mut speaker);
        speaker.take(&frame(1, 20)).expect("whole samples");
        play(&mut speaker);
        assert_eq!(speaker.gaps(), 1);
        speaker.clear(1);
        play(&mut speaker);
        speaker.take(&frame(1, 40)).expect("whole samples");
        play(&mut speaker);
        assert_eq!(speaker.gaps(), 1);
        assert_eq!(speaker.played_ms(), 60);
    }
}
