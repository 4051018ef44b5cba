//! A turn against stand-ins: what each of them took by its own notes, and what of the turn is left for the engine.
//!
//! The words of a turn are known when the transcriber has sent them; from then on the model, its first clause and the
//! voice follow one another, before the endpointing wait is over (a speculation that was kept) or after it:
//!
//! ```text
//! begun at the decision:   total - max(wait, words known) - first token - first clause - first audio
//! speculation kept:        total - max(wait, words known + first token + first clause + first audio)
//! ```
//!
//! Where the transcriber decides turns, its telling of the end stands in the place of the wait.
//!
//! What is left is the engine's own share: all that came between one stand-in's last byte and the next one's first, and
//! between the voice's first audio, or the end of the wait, and the client. Finalize 100 ms after the voice ended is
//! part of when words are known, and so of nobody's share. Enter at [`Noted::path`].

use std::collections::HashMap;

use parlance_fakes::{Seen, Sent};
use serde_json::Value;

use crate::ear::milliseconds;
use crate::stand_ins::StandIns;
use crate::turn::Turn;

/// Begun so shortly before the decision, an answer was begun by it.
const AT_ONCE_MS: f64 = 2.0;

/// Who listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transcriber {
    /// Deepgram's live transcription: the engine decides turns.
    Deepgram,
    /// Deepgram Flux: it decides turns, and tells a probable end before.
    DeepgramFlux,
}

impl Transcriber {
    /// As agents name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Deepgram => "deepgram",
            Self::DeepgramFlux => "deepgram-flux",
        }
    }

    /// As its stand-in is called.
    fn service(self) -> &'static str {
        match self {
            Self::Deepgram => "deepgram_listen",
            Self::DeepgramFlux => "deepgram_flux",
        }
    }
}

/// How a call is known to the stand-ins, each of which is shown another part of its agent.
pub struct Tag {
    /// A term that the transcriber is told to listen for.
    pub key_term: String,
    /// What the model is told.
    pub prompt: String,
    /// The voice's id, as the vendor's look.
    pub voice: String,
}

impl Tag {
    /// Of a call by its number.
    pub fn of(call: usize) -> Self {
        Self {
            key_term: format!("caller{call}"),
            prompt: format!("You take reservations. You talk with caller {call}."),
            voice: format!("caller{call:014}"),
        }
    }
}

/// What the stand-ins noted of one call.
#[derive(Debug, Default)]
pub struct Noted {
    /// Whether the transcriber decided turns.
    decides: bool,
    /// Transcripts with words.
    transcripts: Vec<Sent>,
    /// Pieces of text, by request.
    answers: Vec<Vec<Sent>>,
    /// When the voice was given text, microseconds, and of how many words.
    texts: Vec<(u64, usize)>,
    /// Pieces of audio.
    audio: Vec<Sent>,
    /// Sockets opened, of the transcriber and of the voice.
    pub sockets: usize,
}

/// Where the time of a turn went, milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Path {
    /// From the caller's last voiced sample to the first frame of the answer at the client.
    pub total: f64,
    /// The endpointing wait; none where the transcriber decided.
    pub wait: Option<f64>,
    /// What the transcriber (from the finalize to its words; from the last voiced sample to the end of the turn where it decides), the
    /// model up to its first token, the model from there to the end of the first clause, and the voice up to its first
    /// audio took.
    pub providers: [f64; 4],
    /// What is left.
    pub own: f64,
    /// Whether the answer was begun before the decision.
    pub kept: bool,
}

impl Path {
    /// All providers one after another.
    pub fn sum(&self) -> f64 {
        self.providers.iter().sum()
    }

    /// The wait and all providers one after another.
    pub fn one_after_another(&self) -> f64 {
        self.wait.unwrap_or_default() + self.sum()
    }

    /// The decision, then model and voice one after another: what nobody is under who asks the model at the decision.
    pub fn after_decision(&self) -> f64 {
        self.wait.unwrap_or(self.providers[0]) + self.providers[1..].iter().sum::<f64>()
    }
}

/// What each of [`Path::providers`] is.
pub const PROVIDERS: [&str; 4] = ["transcript", "first token", "first clause", "first audio"];

/// What the stand-ins noted of so many calls.
///
/// # Errors
/// A sentence: they could not be asked.
pub fn noted(stand_ins: &StandIns, who: Transcriber, calls: usize) -> Result<Vec<Noted>, String> {
    let tags: Vec<Tag> = (0..calls).map(Tag::of).collect();
    let decides = who == Transcriber::DeepgramFlux;
    let mut all: Vec<Noted> = tags.iter().map(|_| Noted { decides, ..Noted::default() }).collect();
    let seen = stand_ins.seen(who.service())?;
    let heard = connections(&seen, "open", |path| {
        let term = path.split(['?', '&']).find_map(|part| part.strip_prefix("keyterm="))?;
        tags.iter().position(|tag| tag.key_term == term)
    });
    for sent in stand_ins.sent(who.service())? {
        if let Some(call) = heard.get(&sent.connection) {
            all[*call].transcripts.push(sent);
        }
    }
    let asked = connections(&stand_ins.seen("openai_chat")?, "text", |body| {
        tags.iter().position(|tag| body.contains(&tag.prompt))
    });
    let mut answers: HashMap<u32, Vec<Sent>> = HashMap::new();
    for sent in stand_ins.sent("openai_chat")? {
        answers.entry(sent.connection).or_default().push(sent);
    }
    for (request, answer) in answers {
        if let Some(call) = asked.get(&request) {
            all[*call].answers.push(answer);
        }
    }
    let seen = stand_ins.seen("elevenlabs_multi")?;
    let spoken =
        connections(&seen, "open", |path| tags.iter().position(|tag| path.contains(tag.voice.as_str())));
    for text in seen.iter().filter(|seen| seen.what == "text") {
        let message: Value = serde_json::from_str(&text.detail).unwrap_or_default();
        let words = message["text"].as_str().unwrap_or_default().split_whitespace().count();
        if let Some(call) = spoken.get(&text.connection).filter(|_| words > 0) {
            all[*call].texts.push((text.at_ms * 1_000, words));
        }
    }
    for sent in stand_ins.sent("elevenlabs_multi")? {
        if let Some(call) = spoken.get(&sent.connection) {
            all[*call].audio.push(sent);
        }
    }
    heard.values().chain(spoken.values()).for_each(|call| all[*call].sockets += 1);
    Ok(all)
}

/// Which call each connection belongs to, by what came on it first.
fn connections(seen: &[Seen], what: &str, whose: impl Fn(&str) -> Option<usize>) -> HashMap<u32, usize> {
    let told = seen.iter().filter(|seen| seen.what == what);
    told.filter_map(|seen| Some((seen.connection, whose(&seen.detail)?))).collect()
}

impl Noted {
    /// Where the time of a turn went; `None` if the notes lack a step of it.
    pub fn path(&self, turn: &Turn, stand_ins: &StandIns) -> Option<Path> {
        self.path_between(turn, stand_ins.us(turn.voice_end), stand_ins.us(turn.first_frame))
    }

    /// The same, with the turn's two ends on the stand-ins' clock.
    fn path_between(&self, turn: &Turn, voice_end: u64, first_frame: u64) -> Option<Path> {
        let first = |answer: &&Vec<Sent>| answer.first().map_or(0, |first| first.sent_us);
        let said = self.answers.iter().filter(|answer| (voice_end..=first_frame).contains(&first(answer)));
        let answer = said.max_by_key(first)?;
        let token = answer.first()?;
        let given = self.texts.iter().filter(|(at, _)| at / 1_000 >= token.sent_us / 1_000);
        let (given, words) = given.min_by_key(|(at, _)| *at)?;
        let clause = answer.get(words.saturating_sub(1)).or(answer.last())?;
        let audio = self.audio.iter().filter(|audio| audio.asked_us >= *given);
        let audio = audio.min_by_key(|audio| audio.sent_us).filter(|audio| audio.sent_us <= first_frame)?;
        let known = self.transcripts.iter().filter(|known| known.sent_us <= token.asked_us);
        let known = known.max_by_key(|known| known.sent_us)?;

        let on_call = |time: &Option<prost_types::Duration>| {
            time.as_ref().map(|time| milliseconds(std::time::Duration::try_from(*time).unwrap_or_default()))
        };
        let fall = &turn.waterfall;
        let last_voice = on_call(&fall.last_voice)?;
        let decided = on_call(&fall.decided)? - last_voice;
        let total = ms(voice_end, first_frame);
        // The engine's detector may put the last voiced sample later than it was.
        let late = total - (on_call(&fall.first_frame)? - last_voice);
        let (wait, transcript) = if self.decides {
            // The last end before the answer is heard: that of a pause was no answer's.
            let ends = |sent: &&Sent| {
                // One that the engine asked for decided nothing.
                let told = sent.detail.contains("\"EndOfTurn\"") && !sent.detail.contains("\"manual\"");
                told && (voice_end..=first_frame).contains(&sent.sent_us)
            };
            let end = self.transcripts.iter().rfind(ends)?;
            (None, ms(voice_end, end.sent_us))
        } else {
            (Some(on_call(&fall.wait_until)? - last_voice), ms(known.asked_us, known.sent_us))
        };
        let kept = ms(voice_end, token.asked_us) - late < decided - AT_ONCE_MS;
        let providers = [
            transcript,
            ms(token.asked_us, token.sent_us),
            ms(token.sent_us, clause.sent_us),
            ms(audio.asked_us, audio.sent_us),
        ];
        let answering: f64 = providers[1..].iter().sum();
        let known = ms(voice_end, known.sent_us);
        let due = wait.unwrap_or(transcript);
        let others = if kept { due.max(known + answering) } else { due.max(known) + answering };
        Some(Path { total, wait, providers, own: total - others, kept })
    }
}

/// From one moment to another, negative if it was before.
fn ms(from_us: u64, to_us: u64) -> f64 {
    (to_us as f64 - from_us as f64) / 1_000.0
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use parlance_fakes::Service;
    use parlance_proto::v1::Waterfall;

    use super::*;

    fn at(ms: i32) -> Option<prost_types::Duration> {
        Some(prost_types::Duration { seconds: i64::from(ms / 1_000), nanos: ms % 1_000 * 1_000_000 })
    }

    fn sent(asked_ms: u64, sent_ms: u64) -> Sent {
        let (asked_us, sent_us) = (asked_ms * 1_000, sent_ms * 1_000);
        let (service, detail) = (Service::OpenaiChat, String::new());
        Sent { service, connection: 1, asked_us, sent_us, is_first: true, detail }
    }

    /// A turn whose voice ended at 5,000 on the stand-ins' clock and at 1,000 on the call's, with a wait of 700 ms.
    fn share(asked: u64, heard: u64) -> Path {
        noted_at(asked, heard, false)
    }

    /// The same; where the transcriber decides, it tells the end 500 ms after the voice.
    fn noted_at(asked: u64, heard: u64, decides: bool) -> Path {
        let end = Sent { detail: r#"{"event":"EndOfTurn"}"#.to_owned(), ..sent(5_450, 5_500) };
        let noted = Noted {
            decides,
            transcripts: vec![sent(5_100, 5_300), end],
            answers: vec![vec![sent(asked, asked + 400), sent(asked, asked + 420)]],
            texts: vec![((asked + 421) * 1_000, 2)],
            audio: vec![sent(asked + 421, asked + 571)],
            sockets: 2,
        };
        let first_frame = at(i32::try_from(heard - 4_000).expect("it is small"));
        let decision = if decides { at(1_501) } else { at(1_700) };
        let (last_voice, wait_until, decided) = (at(1_000), decision, decision);
        let waterfall = Waterfall { last_voice, wait_until, decided, first_frame, ..Waterfall::default() };
        let voice_end = Instant::now();
        let turn =
            Turn { voice_end, first_frame: voice_end + Duration::from_millis(heard - 5_000), waterfall };
        noted.path_between(&turn, 5_000_000, heard * 1_000).expect("all steps were noted")
    }

    #[test]
    fn what_is_done_before_the_wait_is_over_is_taken_out_once() {
        let path = share(5_302, 5_880);
        assert!(path.kept, "{path:?}");
        assert_eq!(path.providers.map(f64::round), [200.0, 400.0, 20.0, 150.0]);
        // Words known at 300, 570 for model and voice: 870 of 880.
        assert_eq!((path.total.round(), path.own.round()), (880.0, 10.0));
    }

    #[test]
    fn what_is_begun_at_the_decision_comes_behind_the_wait() {
        let path = share(5_703, 6_280);
        assert!(!path.kept, "{path:?}");
        assert_eq!((path.total.round(), path.own.round()), (1_280.0, 10.0));
    }

    #[test]
    fn where_the_transcriber_decides_its_end_of_turn_stands_for_the_wait() {
        let path = noted_at(5_302, 5_880, true);
        assert!(path.kept && path.wait.is_none(), "{path:?}");
        assert_eq!(path.providers.map(f64::round), [500.0, 400.0, 20.0, 150.0]);
        assert_eq!((path.total.round(), path.own.round()), (880.0, 10.0));
        assert!(path.total < path.sum() && path.sum() == path.after_decision());

        let path = noted_at(5_502, 6_081, true);
        assert!(!path.kept && path.total > path.sum(), "{path:?}");
        assert_eq!(path.own.round(), 11.0);
    }
}
