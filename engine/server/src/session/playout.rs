//! Playout: the agent's collected audio, released and paced towards the far end, and how much was played.
//!
//! Holds each reply's audio at the output rate until the reply is over, so that a hold can go back to the
//! start of a cut word. What was played is the far end's own word where it reports, else the pacer's
//! arithmetic. Decides nothing: the conversation says when to release, hold, resume and flush.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use parlance_conversation::{CallTime, ReplyId, SegmentId};
use parlance_media::format::AudioFormat;
use parlance_media::pacer::Pacer;
use parlance_media::resample::UnsupportedRate;
use parlance_media::{samples_to_us, us_to_samples};
use parlance_proto::v1::voice_session_response::Response;
use parlance_proto::v1::{AgentAudio, ClearAudio, PlaybackMark};

use super::far_end::FarEnd;
use super::reply_audio::ReplyAudio;
use crate::convert::duration;

/// How far ahead of the far end's ear audio is sent at most.
pub const LEAD: Duration = Duration::from_millis(200);
/// Between a sample's time to be played and the caller hearing it, where the far end does not tell: half
/// a usual round trip and a device buffer.
const LATENCY: Duration = Duration::from_millis(40);
/// How often progress is told, and marks are set, in audio.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);
/// How much a report of the far end may lag behind what is known already and still count as merely slow.
const REPORT_JITTER: Duration = Duration::from_millis(60);
/// How late a frame may leave so that it can ride on the caller's next frame instead of a wake-up of its own.
const SLACK: Duration = Duration::from_millis(12);

/// A far end that promised to report and said nothing for so long is taken to play as it should.
const REPORT_MISSED: Duration = Duration::from_secs(2);

/// A run of sent audio: from `total_us` of the pacer on, the reply was at `position_us`.
struct Span {
    total_us: u64,
    reply: ReplyId,
    position_us: u64,
}

/// What the far end reported last, or where it begins.
struct Report {
    reply: ReplyId,
    position_us: u64,
    at: CallTime,
    /// It plays from there on. Not so before its first word of a reply: when it begins only it can tell.
    plays: bool,
}

/// What the hall must know after looking at the playout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The first frame of a reply left.
    Started(ReplyId),
    /// The far end has played this much of the reply.
    Played(ReplyId, Duration),
    /// It has played all there is.
    Drained(ReplyId),
}

/// A block of the agent's audio as it was played, for the recording.
pub struct PlayedBlock<'a> {
    /// When its first sample was played.
    pub at: CallTime,
    /// The samples, at the output rate.
    pub samples: &'a [i16],
}

/// The agent's audio of one call.
pub struct Playout {
    format: AudioFormat,
    rate_hz: u32,
    frame: usize,
    reports: bool,
    pacer: Pacer,
    replies: VecDeque<ReplyAudio>,
    spans: VecDeque<Span>,
    report: Option<Report>,
    told: Option<(ReplyId, u64)>,
    recorded_us: u64,
}

impl Playout {
    /// Plays in `format`; `reports` says that the far end tells what it played and obeys clears.
    pub fn new(format: AudioFormat, reports: bool) -> Self {
        let rate_hz = format.sample_rate_hz();
        // A far end that reports is believed; the pacer then only places its audio in the recording.
        let latency = if reports { Duration::ZERO } else { LATENCY };
        Self {
            format,
            rate_hz,
            frame: parlance_media::frame_samples(rate_hz),
            reports,
            pacer: Pacer::new(LEAD.as_micros() as u64, latency.as_micros() as u64),
            replies: VecDeque::new(),
            spans: VecDeque::new(),
            report: None,
            told: None,
            recorded_us: 0,
        }
    }

    /// Adds audio of a segment; gives the segment's length so far. Segments of a reply come in order.
    ///
    /// # Errors
    /// [`UnsupportedRate`] for a rate no resampler takes: nothing is added.
    pub fn collect(
        &mut self,
        reply: ReplyId,
        segment: SegmentId,
        samples: &[i16],
        rate_hz: u32,
    ) -> Result<Duration, UnsupportedRate> {
        let to = self.rate_hz;
        let audio = self.entry(reply);
        audio.drained_told = false;
        audio.begin_segment(segment);
        if rate_hz == to {
            audio.samples.extend_from_slice(samples);
        } else {
            let (resampler, all) = audio.resampler_for(segment, rate_hz, to)?;
            resampler.process(samples, all);
        }
        Ok(self.segment_length(reply))
    }

    /// How much audio of the segment there is.
    pub fn length_of(&mut self, reply: ReplyId, segment: SegmentId) -> Duration {
        self.entry(reply).begin_segment(segment);
        self.segment_length(reply)
    }

    /// The segment is complete: fills its last frame with silence and gives its final length.
    pub fn finish_segment(&mut self, reply: ReplyId, segment: SegmentId) -> Duration {
        let (rate_hz, frame) = (self.rate_hz, self.frame);
        let audio = self.entry(reply);
        audio.begin_segment(segment);
        audio.drained_told = false;
        audio.flush_resampler(rate_hz);
        let whole = audio.samples.len().next_multiple_of(frame);
        audio.samples.resize(whole, 0);
        self.segment_length(reply)
    }

    /// The reply may be heard from now on.
    pub fn release(&mut self, reply: ReplyId) {
        self.entry(reply).released = true;
    }

    /// Sends no more of the reply. A far end that reports is also cleared.
    pub fn hold(&mut self, now: CallTime, reply: ReplyId, far_end: &mut FarEnd) {
        if self.reports {
            self.freeze(now);
        }
        self.pacer.hold();
        if self.reports {
            far_end.tell(now, Response::Clear(ClearAudio { reply_id: reply.0 }));
            self.pacer.flush(now.as_micros());
        }
    }

    /// Goes on from `position` of the reply.
    pub fn resume(&mut self, reply: ReplyId, position: Duration) {
        let sample = us_to_samples(micros(position), self.rate_hz) as usize;
        let frame = self.frame;
        if let Some(audio) = self.live_mut(reply) {
            // Whole frames only: a tail shorter than one would never be sent.
            audio.cursor = sample.min(audio.samples.len()) / frame * frame;
            audio.drained_told = false;
            audio.marked = audio.cursor;
        }
        self.report = None;
        self.told = None;
        self.pacer.resume();
    }

    /// Throws away what is left of the reply and clears the far end.
    pub fn flush(&mut self, now: CallTime, reply: ReplyId, far_end: &mut FarEnd) {
        if self.spans.back().is_some_and(|span| span.reply == reply) {
            far_end.tell(now, Response::Clear(ClearAudio { reply_id: reply.0 }));
            self.pacer.flush(now.as_micros());
        }
        self.forget(reply);
    }

    /// Forgets a reply's audio without clearing what was sent.
    pub fn forget(&mut self, reply: ReplyId) {
        if let Some(audio) = self.live_mut(reply) {
            audio.over = true;
        }
        if self.report.as_ref().is_some_and(|report| report.reply == reply) {
            self.report = None;
        }
        if self.pacer.is_held() {
            self.pacer.resume();
        }
    }

    /// The far end's own word. False if it can't be true: more than was sent. Of a reply that is over, or from
    /// a far end that did not promise to report, it counts for nothing.
    pub fn reported(&mut self, now: CallTime, reply: ReplyId, position: Duration) -> bool {
        let position_us = micros(position);
        let Some(audio) = self.live(reply).filter(|_| self.reports) else { return true };
        if position_us > samples_to_us(audio.furthest as u64, self.rate_hz) + 1_000 {
            return false;
        }
        // A report that was only slow to come would shift the times of words to and fro; a held reply's is exact.
        let known = self.position(now).filter(|known| known.0 == reply && !self.pacer.is_held());
        let ahead_us = known.map_or(0, |known| known.1.saturating_sub(position_us));
        let slow_us = if ahead_us <= REPORT_JITTER.as_micros() as u64 { ahead_us } else { 0 };
        self.report = Some(Report { reply, position_us: position_us + slow_us, at: now, plays: true });
        true
    }

    /// Sends the frames that are due, as far as the far end has room. Stops to tell when a reply's first frame
    /// left: call it again then.
    pub fn pump(&mut self, now: CallTime, far_end: &mut FarEnd) -> Option<Progress> {
        let mut due = self.pacer.due(now.as_micros());
        while due > 0 {
            let Some(index) = self.next_to_send() else { break };
            if !self.send_frame(now, index, far_end) {
                break;
            }
            due -= 1;
            let audio = &self.replies[index];
            if audio.sequence == 1 {
                return Some(Progress::Started(audio.reply));
            }
        }
        None
    }

    /// What the far end has played since it was last asked, if that is worth telling: each 100 ms of audio,
    /// or any change when `exact`, and the end of what there is.
    pub fn progress(&mut self, now: CallTime, exact: bool) -> Option<Progress> {
        let (reply, position_us) = self.position(now)?;
        let before = self.told.filter(|told| told.0 == reply).map_or(0, |told| told.1);
        let step = if exact { 1 } else { PROGRESS_EVERY.as_micros() as u64 };
        let drained = self.is_drained(reply, position_us);
        if position_us >= before + step || (drained && position_us > before) {
            self.told = Some((reply, position_us));
            return Some(Progress::Played(reply, Duration::from_micros(position_us)));
        }
        if drained
            && let Some(audio) = self.live_mut(reply)
            && !audio.drained_told
        {
            audio.drained_told = true;
            return Some(Progress::Drained(reply));
        }
        None
    }

    /// When the hall must look again; `None` while nothing is to be sent or played.
    pub fn next_wake(&self, now: CallTime) -> Option<CallTime> {
        let send = self.next_to_send().and_then(|_| self.pacer.next_due_us());
        let send = send.map(|at| CallTime::from_micros(at) + SLACK);
        let report = self.position(now).and_then(|(reply, position_us)| {
            let audio = self.live(reply)?;
            let step = PROGRESS_EVERY.as_micros() as u64;
            let told = self.told.filter(|told| told.0 == reply).map_or(0, |told| told.1);
            let sent_us = samples_to_us(audio.cursor as u64, self.rate_hz);
            let target = (told + step).min(sent_us);
            // Nothing to come: a hold, or a far end that played all there is and was told of.
            (!audio.drained_told && target > position_us)
                .then(|| now + Duration::from_micros((target - position_us).max(5_000)))
        });
        match (send, report) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Gives what was played since the last time to `record`. Call before anything is sent or flushed.
    pub fn record(&mut self, now: CallTime, mut record: impl FnMut(PlayedBlock<'_>)) {
        let now_us = now.as_micros();
        let played = self.pacer.played_us(now_us);
        if played <= self.recorded_us {
            return self.prune(played);
        }
        let end_us = now_us.min(self.pacer.drained_at_us().max(self.recorded_us));
        let mut from = self.recorded_us;
        for (index, span) in self.spans.iter().enumerate() {
            let span_end = self.spans.get(index + 1).map_or(u64::MAX, |next| next.total_us);
            let (start, end) = (from.max(span.total_us), played.min(span_end));
            if start >= end {
                continue;
            }
            if let Some(audio) = self.replies.iter().find(|audio| audio.reply == span.reply) {
                let first = us_to_samples(span.position_us + (start - span.total_us), self.rate_hz) as usize;
                let last = us_to_samples(span.position_us + (end - span.total_us), self.rate_hz) as usize;
                let samples = &audio.samples[first.min(audio.samples.len())..last.min(audio.samples.len())];
                let at = CallTime::from_micros(end_us.saturating_sub(played - start));
                record(PlayedBlock { at, samples });
            }
            from = end;
        }
        self.recorded_us = played;
        self.prune(played);
    }

    /// Lets go of spans and replies that the recording needs no more.
    fn prune(&mut self, played_us: u64) {
        while self.spans.len() > 1 && self.spans[1].total_us <= played_us {
            self.spans.pop_front();
        }
        let (spans, all_played) = (&self.spans, played_us >= self.pacer.sent_us());
        let awaited = |reply| !all_played && spans.iter().any(|span| span.reply == reply);
        self.replies.retain(|audio| !audio.over || awaited(audio.reply));
    }

    fn live(&self, reply: ReplyId) -> Option<&ReplyAudio> {
        self.replies.iter().find(|audio| audio.reply == reply && !audio.over)
    }

    fn live_mut(&mut self, reply: ReplyId) -> Option<&mut ReplyAudio> {
        self.replies.iter_mut().find(|audio| audio.reply == reply && !audio.over)
    }

    fn entry(&mut self, reply: ReplyId) -> &mut ReplyAudio {
        let index = match self.replies.iter().position(|audio| audio.reply == reply) {
            Some(index) => index,
            None => {
                self.replies.push_back(ReplyAudio::new(reply));
                self.replies.len() - 1
            }
        };
        &mut self.replies[index]
    }

    fn segment_length(&self, reply: ReplyId) -> Duration {
        let audio = self.replies.iter().find(|audio| audio.reply == reply);
        let samples =
            audio.map_or(0, |audio| audio.samples.len() - audio.segment.map_or(0, |segment| segment.1));
        Duration::from_micros(samples_to_us(samples as u64, self.rate_hz))
    }

    /// The oldest released reply with a whole frame to send.
    fn next_to_send(&self) -> Option<usize> {
        self.replies.iter().position(|audio| {
            audio.released && !audio.over && audio.cursor + self.frame <= audio.samples.len()
        })
    }

    fn send_frame(&mut self, now: CallTime, index: usize, far_end: &mut FarEnd) -> bool {
        let audio = &mut self.replies[index];
        let samples = &audio.samples[audio.cursor..audio.cursor + self.frame];
        let mut data = Vec::with_capacity(self.format.bytes_per_frame());
        self.format.encode(samples, &mut data);
        let position_us = samples_to_us(audio.cursor as u64, self.rate_hz);
        let message = AgentAudio {
            reply_id: audio.reply.0,
            sequence: audio.sequence + 1,
            position: Some(duration(Duration::from_micros(position_us))),
            data: Bytes::from(data),
        };
        if !far_end.send_audio(now, message) {
            return false;
        }
        audio.sequence += 1;
        audio.cursor += self.frame;
        audio.furthest = audio.furthest.max(audio.cursor);
        if self.reports && self.report.as_ref().is_none_or(|report| report.reply != audio.reply) {
            self.report = Some(Report { reply: audio.reply, position_us, at: now, plays: false });
        }
        let total_us = self.pacer.sent_us();
        let continues = self.spans.back().is_some_and(|span| {
            span.reply == audio.reply
                && span.position_us + (total_us - span.total_us.min(total_us)) == position_us
        });
        if !continues {
            // What was flushed of an earlier span was taken back by the pacer.
            while self.spans.back().is_some_and(|span| span.total_us >= total_us) {
                self.spans.pop_back();
            }
            self.spans.push_back(Span { total_us, reply: audio.reply, position_us });
        }
        self.pacer.sent(now.as_micros(), 1);
        if self.reports {
            Self::mark(audio, self.frame, self.rate_hz, now, far_end);
        }
        true
    }

    fn mark(audio: &mut ReplyAudio, frame: usize, rate_hz: u32, now: CallTime, far_end: &mut FarEnd) {
        let every = us_to_samples(PROGRESS_EVERY.as_micros() as u64, rate_hz) as usize;
        let at_end = audio.cursor + frame > audio.samples.len();
        if audio.cursor - audio.marked.min(audio.cursor) >= every || at_end {
            audio.marked = audio.cursor;
            let position = Duration::from_micros(samples_to_us(audio.cursor as u64, rate_hz));
            let mark = PlaybackMark { reply_id: audio.reply.0, position: Some(duration(position)) };
            far_end.tell(now, Response::Mark(mark));
        }
    }

    /// Where the far end is now: its own word carried on to now, else the pacer's arithmetic.
    fn position(&self, now: CallTime) -> Option<(ReplyId, u64)> {
        let held = self.pacer.is_held();
        let given_up = |report: &Report| !held && now.since(report.at) >= REPORT_MISSED;
        if let Some(report) = self.report.as_ref().filter(|report| !given_up(report)) {
            let audio = self.live(report.reply)?;
            let sent_us = samples_to_us(audio.cursor as u64, self.rate_hz);
            let since = if held || !report.plays { 0 } else { micros(now.since(report.at)) };
            // Carried on for a moment only: a far end that stops telling has perhaps stopped playing.
            let carried = since.min(2 * micros(PROGRESS_EVERY));
            return Some((report.reply, (report.position_us + carried).min(sent_us)));
        }
        let played = self.pacer.played_us(now.as_micros());
        let span = self.spans.iter().rev().find(|span| span.total_us <= played)?;
        self.live(span.reply)?;
        Some((span.reply, span.position_us + (played - span.total_us)))
    }

    /// Keeps the far end's position as it is now, because it is about to be cleared.
    fn freeze(&mut self, now: CallTime) {
        if let Some((reply, position_us)) = self.position(now) {
            self.report = Some(Report { reply, position_us, at: now, plays: false });
        }
    }

    fn is_drained(&self, reply: ReplyId, position_us: u64) -> bool {
        self.live(reply).is_some_and(|audio| {
            audio.cursor + self.frame > audio.samples.len()
                && position_us >= samples_to_us(audio.cursor as u64, self.rate_hz)
        })
    }
}

/// Whole microseconds; a length no audio has stays longer than any.
fn micros(length: Duration) -> u64 {
    u64::try_from(length.as_micros()).unwrap_or(u64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use parlance_media::format::Encoding;
    use tokio::sync::mpsc;

    fn at(ms: u64) -> CallTime {
        CallTime::from_millis(ms)
    }

    #[test]
    fn the_audio_of_an_ended_reply_is_let_go_when_it_was_played_and_recorded_to_its_end() {
        let format = AudioFormat::new(Encoding::Pcm16Le, 16_000).expect("16 kHz PCM is spoken");
        let (sender, _receiver) = mpsc::channel(100);
        let (mut playout, mut far_end) = (Playout::new(format, true), FarEnd::new(sender));
        let (reply, segment) = (ReplyId(1), SegmentId(1));
        playout.collect(reply, segment, &[7; 3_200], 16_000).expect("16 kHz is taken");
        playout.finish_segment(reply, segment);
        playout.release(reply);
        while playout.pump(at(0), &mut far_end).is_some() {}
        playout.forget(reply);
        let mut recorded = 0;
        playout.record(at(160), |block| recorded += block.samples.len());
        assert_eq!((recorded, playout.replies.len()), (2_560, 1), "40 ms are still on their way to the ear");
        playout.record(at(200), |block| recorded += block.samples.len());
        assert_eq!((recorded, playout.replies.len()), (3_200, 0));
    }

    /// A reply of one second, released; what is sent goes nowhere.
    fn speaking(reports: bool) -> (Playout, FarEnd, mpsc::Receiver<super::super::far_end::Outgoing>) {
        let format = AudioFormat::new(Encoding::Pcm16Le, 16_000).expect("16 kHz PCM is spoken");
        let (sender, receiver) = mpsc::channel(1_000);
        let mut playout = Playout::new(format, reports);
        playout.collect(ReplyId(1), SegmentId(0), &[7; 16_000], 16_000).expect("16 kHz is taken");
        playout.finish_segment(ReplyId(1), SegmentId(0));
        playout.release(ReplyId(1));
        (playout, FarEnd::new(sender), receiver)
    }

    fn pump_until(playout: &mut Playout, far_end: &mut FarEnd, from: u64, until: u64) {
        for ms in (from..until).step_by(20) {
            while playout.pump(at(ms), far_end).is_some() {}
            playout.record(at(ms), |_| {});
        }
    }

    fn heard_ms(playout: &mut Playout, now: u64) -> Option<u64> {
        match playout.progress(at(now), true)? {
            Progress::Played(_, position) => Some(position.as_millis() as u64),
            Progress::Started(_) | Progress::Drained(_) => None,
        }
    }

    #[test]
    fn nothing_counts_as_heard_before_a_far_end_that_reports_says_so() {
        let (mut playout, mut far_end, _receiver) = speaking(true);
        pump_until(&mut playout, &mut far_end, 0, 200);
        assert_eq!(heard_ms(&mut playout, 200), None);
        assert!(playout.reported(at(200), ReplyId(1), Duration::from_millis(120)));
        assert_eq!(heard_ms(&mut playout, 200), Some(120));
        assert_eq!(heard_ms(&mut playout, 250), Some(170), "it plays on between its reports");
    }

    #[test]
    fn a_far_end_that_stops_reporting_is_taken_to_play_on_and_the_reply_ends() {
        let (mut playout, mut far_end, _receiver) = speaking(true);
        pump_until(&mut playout, &mut far_end, 0, 100);
        assert!(playout.reported(at(100), ReplyId(1), Duration::from_millis(80)));
        pump_until(&mut playout, &mut far_end, 100, 1_500);
        assert_eq!(heard_ms(&mut playout, 1_500), Some(280), "carried on for 200 ms and no more");
        assert_eq!(heard_ms(&mut playout, 2_200), Some(1_000));
        assert_eq!(playout.progress(at(2_200), false), Some(Progress::Drained(ReplyId(1))));
    }

    #[test]
    fn a_report_of_before_a_hold_that_comes_after_the_resume_is_no_lie() {
        let (mut playout, mut far_end, _receiver) = speaking(true);
        pump_until(&mut playout, &mut far_end, 0, 400);
        assert!(playout.reported(at(400), ReplyId(1), Duration::from_millis(380)));
        playout.hold(at(400), ReplyId(1), &mut far_end);
        playout.resume(ReplyId(1), Duration::from_millis(210));
        assert!(playout.reported(at(410), ReplyId(1), Duration::from_millis(390)));
        assert!(!playout.reported(at(410), ReplyId(1), Duration::from_millis(900)), "never sent so far");
        assert!(!playout.reported(at(410), ReplyId(1), Duration::MAX));
    }

    #[test]
    fn a_far_end_that_promised_no_reports_is_not_believed() {
        let (mut playout, mut far_end, _receiver) = speaking(false);
        pump_until(&mut playout, &mut far_end, 0, 300);
        assert!(playout.reported(at(300), ReplyId(1), Duration::from_millis(20)));
        assert_eq!(heard_ms(&mut playout, 300), Some(260), "by the clock, less the latency");
    }

    #[test]
    fn a_resumed_reply_is_sent_to_its_end() {
        let (mut playout, mut far_end, _receiver) = speaking(false);
        pump_until(&mut playout, &mut far_end, 0, 400);
        playout.hold(at(400), ReplyId(1), &mut far_end);
        playout.resume(ReplyId(1), Duration::from_millis(333));
        pump_until(&mut playout, &mut far_end, 400, 1_600);
        assert_eq!(playout.live(ReplyId(1)).map(|audio| audio.cursor), Some(16_000));
        assert_eq!(heard_ms(&mut playout, 1_600), Some(1_000));
    }

    #[test]
    fn a_held_reply_asks_for_no_wake_ups_once_the_far_end_has_played_what_it_got() {
        let (mut playout, mut far_end, _receiver) = speaking(false);
        pump_until(&mut playout, &mut far_end, 0, 300);
        playout.hold(at(300), ReplyId(1), &mut far_end);
        while playout.progress(at(700), false).is_some() {}
        assert_eq!(playout.next_wake(at(700)), None);
    }
    #[test]
    fn audio_at_a_rate_nobody_can_convert_is_refused_and_the_next_segment_is_played() {
        let format = AudioFormat::new(Encoding::Pcm16Le, 16_000).expect("16 kHz PCM is spoken");
        let mut playout = Playout::new(format, false);
        let refused = playout.collect(ReplyId(1), SegmentId(0), &[7; 882], 44_100);
        assert_eq!(refused, Err(UnsupportedRate { from_hz: 44_100, to_hz: 16_000 }));
        let length = playout.collect(ReplyId(1), SegmentId(1), &[7; 480], 24_000);
        assert_eq!(length, Ok(Duration::from_millis(20)));
    }
}
