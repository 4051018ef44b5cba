//! The caller's side of a fake call: when to speak, when to listen, when to hang up.
//!
//! Counts in frames of 20 ms and reads no clock. Each frame it is told what the far end could hear of the agent
//! and gives the samples to send: a clip's, or silence. A clip waits for its [`Cue`]; "the agent has finished" is
//! judged by what was *played*, not by what arrived, as a caller would. Enter at [`Caller::frame`].

use std::collections::VecDeque;

use super::clip::{Clip, Cue};

/// Length of a frame.
const FRAME_MS: u32 = 20;
/// Quiet after which the agent counts as finished.
const QUIET_MS: u32 = 400;
/// Quiet after which a caller speaks anyway, although the agent has not answered.
const PATIENCE_MS: u32 = 8_000;
/// How long beyond the linger an agent that never finishes is waited for.
const STUCK_MS: u32 = 30_000;

/// What the caller heard during one frame.
#[derive(Debug, Clone, Copy)]
pub struct Heard {
    /// The agent was audible.
    pub agent: bool,
    /// The agent has no reply under way, no tool running and no audio queued.
    pub free: bool,
}

/// What the caller does in one frame.
#[derive(Debug, PartialEq, Eq)]
pub enum Move {
    /// Goes on: listens, or speaks on.
    On,
    /// Begins the clip of this name.
    Begins(String),
    /// Has said everything, heard nothing more, and hangs up.
    HangsUp,
}

/// A caller with things to say.
#[derive(Debug)]
pub struct Caller {
    clips: VecDeque<Clip>,
    speaking: Option<(Clip, usize)>,
    frame_samples: usize,
    linger_ms: u32,
    /// Time since the agent was last heard or the caller last spoke.
    quiet_ms: u32,
    /// Time since the agent was first heard after the last clip's last loud sample, if it was.
    agent_ms: Option<u32>,
    /// The agent waits for the first words.
    agent_listens: bool,
}

impl Caller {
    /// A caller who says `clips` in their order, in frames of `frame_samples`, and hangs up when after the last of
    /// them nothing was heard for `linger_ms`. The first clip waits for no greeting where the `agent_listens`.
    #[must_use]
    pub fn new(clips: Vec<Clip>, frame_samples: usize, linger_ms: u32, agent_listens: bool) -> Self {
        let clips = clips.into();
        Self { clips, speaking: None, frame_samples, linger_ms, quiet_ms: 0, agent_ms: None, agent_listens }
    }

    /// Clips that were not begun.
    #[must_use]
    pub fn unsaid(&self) -> usize {
        self.clips.len()
    }

    /// One frame: appends its samples to `out`.
    pub fn frame(&mut self, heard: Heard, out: &mut Vec<i16>) -> Move {
        self.listen(heard);
        let mut moved = Move::On;
        if self.speaking.is_none() {
            if self.is_cue(heard) {
                moved = self.begin();
            } else if self.is_done(heard) {
                moved = Move::HangsUp;
            }
        }
        self.speak(out);
        moved
    }

    fn listen(&mut self, heard: Heard) {
        self.quiet_ms = if heard.agent { 0 } else { self.quiet_ms + FRAME_MS };
        match &mut self.agent_ms {
            Some(since) => *since += FRAME_MS,
            None if heard.agent => self.agent_ms = Some(0),
            None => {}
        }
    }

    /// Whether the next clip's time has come.
    fn is_cue(&self, heard: Heard) -> bool {
        match self.clips.front().map(|clip| clip.cue) {
            None => false,
            Some(Cue::IntoAgent { after_ms }) => self.agent_ms.is_some_and(|since| since >= after_ms),
            Some(Cue::AgentDone) => {
                let has_spoken = self.agent_ms.is_some() || self.agent_listens;
                let is_done = has_spoken && heard.free && self.quiet_ms >= QUIET_MS;
                is_done || self.quiet_ms >= PATIENCE_MS
            }
        }
    }

    fn is_done(&self, heard: Heard) -> bool {
        let stuck = self.quiet_ms >= self.linger_ms.saturating_add(STUCK_MS);
        self.clips.is_empty() && ((heard.free && self.quiet_ms >= self.linger_ms) || stuck)
    }

    fn begin(&mut self) -> Move {
        self.agent_ms = None;
        self.agent_listens = false;
        let Some(clip) = self.clips.pop_front() else { return Move::On };
        let name = clip.name.clone();
        self.speaking = Some((clip, 0));
        Move::Begins(name)
    }

    /// Appends the clip's next samples, or silence.
    fn speak(&mut self, out: &mut Vec<i16>) {
        let end = out.len() + self.frame_samples;
        if let Some((clip, said)) = &mut self.speaking {
            let until = (*said + self.frame_samples).min(clip.samples.len());
            out.extend_from_slice(&clip.samples[*said..until]);
            if *said < clip.voice_end {
                // What the agent says under the caller's words answers something else.
                self.agent_ms = None;
            }
            self.quiet_ms = 0;
            *said = until;
            if until == clip.samples.len() {
                self.speaking = None;
            }
        }
        out.resize(end, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEAKS: Heard = Heard { agent: true, free: false };
    const QUIET: Heard = Heard { agent: false, free: true };
    const BUSY: Heard = Heard { agent: false, free: false };

    fn clip(name: &str, cue: Cue, frames: usize) -> Clip {
        Clip::new(name.into(), cue, vec![9_000; frames * 10])
    }

    fn caller(clips: Vec<Clip>) -> Caller {
        Caller::new(clips, 10, 1_000, false)
    }

    /// Plays `frames` frames of the same hearing; the frame numbers at which something happened.
    fn hear(caller: &mut Caller, heard: Heard, frames: usize) -> Vec<(usize, Move)> {
        (1..=frames)
            .map(|n| (n, caller.frame(heard, &mut Vec::new())))
            .filter(|(_, moved)| *moved != Move::On)
            .collect()
    }

    #[test]
    fn a_clip_begins_400_ms_after_the_agent_was_last_heard() {
        let mut caller = caller(vec![clip("a", Cue::AgentDone, 5)]);
        assert_eq!(hear(&mut caller, SPEAKS, 50), []);
        assert_eq!(hear(&mut caller, QUIET, 30), [(20, Move::Begins("a".into()))]);
    }

    #[test]
    fn a_pause_while_a_tool_runs_is_not_the_end_of_the_agents_turn() {
        let mut caller = caller(vec![clip("a", Cue::AgentDone, 5)]);
        hear(&mut caller, SPEAKS, 50);
        assert_eq!(hear(&mut caller, BUSY, 100), []);
        assert_eq!(hear(&mut caller, QUIET, 1), [(1, Move::Begins("a".into()))]);
    }

    #[test]
    fn the_second_clip_waits_for_an_answer_to_the_first() {
        let mut caller = caller(vec![clip("a", Cue::AgentDone, 5), clip("b", Cue::AgentDone, 5)]);
        hear(&mut caller, SPEAKS, 10);
        hear(&mut caller, QUIET, 25);
        assert_eq!(hear(&mut caller, QUIET, 100), [], "the agent is thinking");
        hear(&mut caller, SPEAKS, 10);
        assert_eq!(hear(&mut caller, QUIET, 25), [(20, Move::Begins("b".into()))]);
    }

    #[test]
    fn a_barge_in_begins_so_long_after_the_agents_next_audio_while_it_speaks() {
        let mut caller =
            caller(vec![clip("a", Cue::AgentDone, 5), clip("no", Cue::IntoAgent { after_ms: 300 }, 5)]);
        hear(&mut caller, SPEAKS, 10);
        hear(&mut caller, QUIET, 25);
        hear(&mut caller, BUSY, 40);
        assert_eq!(
            hear(&mut caller, SPEAKS, 30),
            [(16, Move::Begins("no".into()))],
            "300 ms after the first frame"
        );
    }

    #[test]
    fn it_hangs_up_when_nothing_was_heard_for_the_linger_after_the_last_clip() {
        let mut caller = caller(vec![clip("a", Cue::AgentDone, 5)]);
        hear(&mut caller, SPEAKS, 10);
        hear(&mut caller, QUIET, 25);
        hear(&mut caller, SPEAKS, 10);
        let moves = hear(&mut caller, QUIET, 50);
        assert_eq!(moves.first(), Some(&(50, Move::HangsUp)));
    }

    #[test]
    fn a_silent_agent_is_spoken_to_anyway() {
        let mut caller = caller(vec![clip("a", Cue::AgentDone, 5)]);
        assert_eq!(hear(&mut caller, QUIET, 410), [(400, Move::Begins("a".into()))]);
    }

    #[test]
    fn an_agent_that_listens_is_spoken_to_at_once_and_its_answer_is_waited_for() {
        let clips = vec![clip("a", Cue::AgentDone, 5), clip("b", Cue::AgentDone, 5)];
        let mut caller = Caller::new(clips, 10, 1_000, true);
        assert_eq!(hear(&mut caller, QUIET, 100), [(20, Move::Begins("a".into()))]);
        hear(&mut caller, SPEAKS, 10);
        assert_eq!(hear(&mut caller, QUIET, 25), [(20, Move::Begins("b".into()))]);
    }

    #[test]
    fn every_frame_is_whole_whatever_the_clip_leaves() {
        let odd = Clip::new("odd".into(), Cue::AgentDone, vec![9_000; 13]);
        let mut caller = caller(vec![odd]);
        hear(&mut caller, SPEAKS, 1);
        let mut out = Vec::new();
        (0..30).for_each(|_| drop(caller.frame(QUIET, &mut out)));
        assert_eq!(out.len(), 300);
        assert_eq!(out.iter().filter(|sample| **sample != 0).count(), 13);
    }
}
