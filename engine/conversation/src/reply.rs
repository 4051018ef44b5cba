//! A reply: its text in segments, its audio, and how far it was played.
//!
//! Holds the ledger's facts (H1); what was heard is reckoned in `heard`. Sends nothing itself.
//! Enter at [`Reply`].

use std::time::Duration;

use crate::flow::normalize_for_speech;
use crate::flow::segments::Segmenter;
use crate::{CallTime, EndReason, ReplyId, ReplyKind, SegmentId, TurnId, Waterfall, WordTime};

/// Reports of one unbroken stretch agree on its beginning within this, in microseconds.
const SAME_RUN: u64 = 40_000;

/// The agent's answer to one turn, or something it says of its own accord.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub id: ReplyId,
    pub kind: ReplyKind,
    pub turn: Option<TurnId>,
    /// B6: the whole of it can't be interrupted.
    pub protected: bool,
    pub segmenter: Segmenter,
    pub segments: Vec<Segment>,
    segments_made: u32,
    pub source: Source,
    pub after: After,
    /// Played up to here; goes back when a false hold is over.
    pub position: Duration,
    /// The furthest it was ever played (H2).
    pub furthest: Duration,
    /// Call time of `position`.
    pub played_at: CallTime,
    /// Stretches that were played without a break: from, to, and the call time of `from`.
    runs: Vec<(Duration, Duration, CallTime)>,
    /// First sample heard.
    pub heard_from: Option<CallTime>,
    /// Nothing is left to be played of the audio there is.
    pub drained: bool,
    /// B3: holds that came to nothing.
    pub false_holds: u32,
    /// B4, A9: nothing after this is said.
    pub cut_at: Option<Duration>,
    /// H4: place in the transcript, from when it was first heard.
    pub sequence: Option<u32>,
    /// Words told as heard so far.
    pub told: usize,
    /// Told once, when the answer is first heard or ended.
    pub waterfall: Option<Waterfall>,
    /// A3: budgets missed so far.
    pub missed: u32,
    /// A4: the model was asked once more.
    pub nudged: bool,
    /// A5: how often its model asked for tools.
    pub tool_rounds: u32,
    /// Segments already in the context, before a tool was called (H5).
    pub recorded: usize,
}

/// Whether more text may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// A model is writing it.
    Model,
    /// It goes on when its tools have finished (A5).
    Tools,
    /// All text is there.
    Complete,
}

/// What comes when it has been heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    /// The caller's floor.
    Listen,
    /// A6: the end of the call.
    End(EndReason),
}

/// A piece that is voiced as one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Segment {
    pub id: SegmentId,
    /// As it is shown.
    pub text: String,
    /// As the voice is given it.
    pub spoken: String,
    pub length: Duration,
    pub finished: bool,
    /// Word times from the voice so far, within the segment.
    pub words: Vec<WordTime>,
}

impl Reply {
    pub(crate) fn new(id: ReplyId, kind: ReplyKind, turn: Option<TurnId>, source: Source) -> Self {
        Self {
            id,
            kind,
            turn,
            protected: false,
            segmenter: Segmenter::new(),
            segments: Vec::new(),
            segments_made: 0,
            source,
            after: After::Listen,
            position: Duration::ZERO,
            furthest: Duration::ZERO,
            played_at: CallTime::ZERO,
            runs: Vec::new(),
            heard_from: None,
            drained: false,
            false_holds: 0,
            cut_at: None,
            sequence: None,
            told: 0,
            waterfall: None,
            missed: 0,
            nudged: false,
            tool_rounds: 0,
            recorded: 0,
        }
    }

    /// Adds a segment; ids are never used twice in a reply.
    pub(crate) fn add_segment(&mut self, text: String, spoken: String) -> SegmentId {
        let id = SegmentId(self.segments_made);
        self.segments_made += 1;
        self.segments.push(Segment {
            id,
            text,
            spoken,
            length: Duration::ZERO,
            finished: false,
            words: Vec::new(),
        });
        self.drained = false;
        id
    }

    /// Takes a report of the voice on a segment. True if there is more audio than before.
    pub(crate) fn voiced(
        &mut self,
        id: SegmentId,
        length: Duration,
        words: Vec<WordTime>,
        finished: bool,
    ) -> bool {
        let Some(segment) = self.segments.iter_mut().find(|segment| segment.id == id) else { return false };
        let grown = length > segment.length;
        segment.length = segment.length.max(length);
        segment.finished |= finished;
        segment.words.extend(words);
        self.drained &= !grown;
        self.missed = if grown { 0 } else { self.missed };
        grown
    }

    /// Another voice goes on: the broken segment ends where its audio ends, later ones come again. Its audio stays in the
    /// playout, so it stays here too, without words if no whole one was voiced.
    pub(crate) fn keep_voiced(&mut self, first: usize, voiced: usize) {
        let broken = &mut self.segments[first];
        let text: Vec<&str> = broken.text.split_whitespace().take(voiced).collect();
        broken.text = text.join(" ");
        broken.spoken = normalize_for_speech(&broken.text);
        broken.words.retain(|word| word.end.since(CallTime::ZERO) <= broken.length);
        broken.finished = true;
        let is_heard = !broken.length.is_zero();
        self.segments.truncate(first + usize::from(is_heard));
    }

    /// The far end has played up to here at this time (H3).
    pub(crate) fn played(&mut self, position: Duration, at: CallTime) {
        let before = self.position;
        match self.runs.last_mut() {
            Some((from, to, began))
                if *to == before
                    && (at - position).as_micros().abs_diff((*began - *from).as_micros()) < SAME_RUN =>
            {
                *to = position.max(*to);
            }
            _ if position > before => self.runs.push((before, position, at - (position - before))),
            _ => {}
        }
        self.position = position;
        self.furthest = self.furthest.max(position);
        self.played_at = at;
    }

    /// The call time at which this position of its audio was heard, the last time it was.
    pub(crate) fn heard_at(&self, position: Duration) -> CallTime {
        let run = self.runs.iter().rfind(|(from, ..)| *from <= position).or(self.runs.first());
        run.map_or(self.played_at, |(from, _, began)| *began + position.saturating_sub(*from))
    }

    /// Length of the audio there is.
    pub(crate) fn audio(&self) -> Duration {
        self.segments.iter().map(|segment| segment.length).sum()
    }

    pub(crate) fn has_audio(&self) -> bool {
        self.segments.iter().any(|segment| segment.length > Duration::ZERO)
    }

    /// All text and all audio of it is there.
    pub(crate) fn is_complete(&self) -> bool {
        self.source == Source::Complete && self.segments.iter().all(|segment| segment.finished)
    }

    /// Nothing to say in it, and nothing more will come.
    pub(crate) fn is_empty(&self) -> bool {
        self.source == Source::Complete && self.segments.is_empty()
    }

    /// The far end has played all of it.
    pub(crate) fn is_played(&self) -> bool {
        self.is_complete() && (self.drained || self.position >= self.audio())
    }
}
