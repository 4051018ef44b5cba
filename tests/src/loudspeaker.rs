//! The far end's loudspeaker: plays 20 ms of the agent a beat, and says honestly how far it came.
//!
//! It plays what has arrived, is silent when nothing has, forgets on `clear` what it has not played, and reports
//! only what it played. All it played stays in [`Loudspeaker::track`], beat by beat, for the tests to listen to.

use std::collections::VecDeque;

use parlance_media::format::AudioFormat;
use parlance_media::{frame_samples, samples_to_us};
use parlance_proto::v1::{AgentAudio, PlaybackProgress};

/// Audio between two reports, microseconds.
const REPORT_EVERY_US: u64 = 100_000;

struct Piece {
    reply: u32,
    position_us: u64,
    samples: Vec<i16>,
}

/// One played piece of a reply.
#[derive(Debug, Clone, Copy)]
pub struct Played {
    /// The beat it began in, from 0.
    pub beat: usize,
    /// The reply.
    pub reply: u32,
    /// Where it lies in the reply's audio, microseconds.
    pub position_us: u64,
}

/// A loudspeaker.
pub struct Loudspeaker {
    format: AudioFormat,
    queue: VecDeque<Piece>,
    /// Every sample it played, silence included, since the call began.
    pub track: Vec<i16>,
    /// Every sample that came over the wire, one after another, whenever it came.
    pub received: Vec<i16>,
    /// The pieces of replies it played, in order.
    pub played: Vec<Played>,
    /// Beats so far.
    pub beats: usize,
    reported: Option<(u32, u64)>,
    /// What the beat under way plays: it has been played when the next one comes.
    playing: Option<(u32, u64)>,
}

impl Loudspeaker {
    /// A silent one for audio in `format`.
    pub fn new(format: AudioFormat) -> Self {
        let (queue, track, received, played) = Default::default();
        Self { format, queue, track, received, played, beats: 0, reported: None, playing: None }
    }

    /// Queues what arrived.
    ///
    /// # Panics
    /// When the audio is no whole number of samples.
    pub fn take(&mut self, audio: &AgentAudio) {
        let mut samples = Vec::new();
        self.format.decode(&audio.data, &mut samples).expect("the engine sends whole samples");
        let position = audio.position.expect("a piece of audio has its place");
        let position_us = position.seconds as u64 * 1_000_000 + position.nanos as u64 / 1_000;
        self.received.extend_from_slice(&samples);
        self.queue.push_back(Piece { reply: audio.reply_id, position_us, samples });
    }

    /// Forgets what is queued of `reply`; tells how far that reply was played.
    pub fn clear(&mut self, reply: u32) -> Option<PlaybackProgress> {
        self.queue.retain(|piece| piece.reply != reply);
        let last = self.played.last().filter(|last| last.reply == reply)?;
        // The frame that sounds just now is let finish.
        Some(progress(reply, last.position_us + parlance_media::FRAME_US))
    }

    /// Nothing is left to play.
    pub fn is_silent(&self) -> bool {
        self.queue.is_empty()
    }

    /// Begins to play the next 20 ms, and gives what is to be reported of those before.
    pub fn beat(&mut self) -> Option<PlaybackProgress> {
        let done = self.playing.take();
        self.playing = self.play();
        let (reply, position_us) = done?;
        let before = self.reported.filter(|reported| reported.0 == reply).map_or(0, |reported| reported.1);
        let due = position_us >= before + REPORT_EVERY_US || position_us < before || self.playing.is_none();
        due.then(|| {
            self.reported = Some((reply, position_us));
            progress(reply, position_us)
        })
    }

    /// Plays 20 ms; gives how far that reaches.
    fn play(&mut self) -> Option<(u32, u64)> {
        let end = self.track.len() + frame_samples(self.format.sample_rate_hz());
        let mut last = None;
        while self.track.len() < end {
            let Some(mut piece) = self.queue.pop_front() else {
                self.track.resize(end, 0);
                break;
            };
            self.played.push(Played { beat: self.beats, reply: piece.reply, position_us: piece.position_us });
            let take = piece.samples.len().min(end - self.track.len());
            self.track.extend(piece.samples.drain(..take));
            piece.position_us += samples_to_us(take as u64, self.format.sample_rate_hz());
            last = Some((piece.reply, piece.position_us));
            if !piece.samples.is_empty() {
                self.queue.push_front(piece);
            }
        }
        self.beats += 1;
        last
    }
}

fn progress(reply_id: u32, position_us: u64) -> PlaybackProgress {
    let position = std::time::Duration::from_micros(position_us).try_into().ok();
    PlaybackProgress { reply_id, position }
}
