//! Providers that do what a test says, and a setup that keeps notes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use parlance_providers::chain::{Budgets, Health, Setup};
use parlance_providers::llm::{self, LanguageModel};
use parlance_providers::notes::Note;
use parlance_providers::tts::{self, Sound, Speaker, TextToSpeech, VoiceInfo};
use parlance_providers::{Error, ErrorKind};
use tokio::task::JoinHandle;

/// What a puppet does next.
#[derive(Debug, Clone)]
pub enum Step {
    /// Nothing for so many milliseconds.
    Wait(u64),
    /// A model: these words. A voice: so many milliseconds of audio, one for each letter.
    Say(&'static str),
    /// A voice: the same, at so many hertz.
    SayAt(u32, &'static str),
    /// A model asks for this tool.
    Call(&'static str),
    /// It fails.
    Fail(ErrorKind),
    /// It is over its rate and wants to be left alone for so many milliseconds.
    Limit(u64),
    /// It can't be reached, and wants to be left alone for so many milliseconds.
    Overloaded(u64),
    /// The end, in order.
    End,
}

/// A model and a voice in one, with a script for each request; after the last it does the last again.
pub struct Puppet {
    name: &'static str,
    scripts: Arc<Mutex<VecDeque<Vec<Step>>>>,
    pub asked: Mutex<Vec<String>>,
}

impl Puppet {
    pub fn new(name: &'static str, scripts: &[&[Step]]) -> Arc<Self> {
        let scripts = Arc::new(Mutex::new(scripts.iter().map(|script| script.to_vec()).collect()));
        Arc::new(Self { name, scripts, asked: Mutex::default() })
    }

    fn next(&self, asked: String) -> Vec<Step> {
        self.asked.lock().unwrap().push(asked);
        let mut scripts = self.scripts.lock().unwrap();
        let script = scripts.pop_front().expect("a puppet has a script");
        if scripts.is_empty() {
            scripts.push_back(script.clone());
        }
        script
    }

    pub fn times_asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

struct Running(JoinHandle<()>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl LanguageModel for Puppet {
    fn name(&self) -> &'static str {
        self.name
    }

    fn respond(&self, request: llm::Request, sink: llm::Sink) -> Result<llm::Response, Error> {
        let script =
            self.next(request.messages.last().map(|message| message.text.clone()).unwrap_or_default());
        let name = self.name;
        Ok(Box::new(Running(tokio::spawn(async move {
            for step in script {
                match step {
                    Step::Wait(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
                    Step::Say(words) => sink(llm::Event::Text(words.to_owned())),
                    Step::SayAt(..) => {}
                    Step::Call(tool) => {
                        let (id, name, arguments) = ("1".to_owned(), tool.to_owned(), serde_json::json!({}));
                        let call = llm::ToolCall { id, name, arguments, signature: None };
                        sink(llm::Event::ToolCalls(vec![call]));
                    }
                    Step::Fail(kind) => return sink(llm::Event::Failed(Error::new(name, kind, "as told"))),
                    Step::Limit(ms) => return sink(llm::Event::Failed(limited(name, ms))),
                    Step::Overloaded(ms) => return sink(llm::Event::Failed(overloaded(name, ms))),
                    Step::End => return sink(llm::Event::Finished { usage: llm::Usage::default() }),
                }
            }
            std::future::pending::<()>().await;
        }))))
    }
}

impl TextToSpeech for Puppet {
    fn name(&self) -> &'static str {
        self.name
    }

    fn voices(&self) -> Vec<VoiceInfo> {
        Vec::new()
    }

    fn open(&self, _: tts::Settings) -> Result<Box<dyn Speaker>, Error> {
        let scripts = Arc::clone(&self.scripts);
        Ok(Box::new(PuppetSpeaker(Puppet { name: self.name, scripts, asked: Mutex::default() })))
    }
}

struct PuppetSpeaker(Puppet);

impl Speaker for PuppetSpeaker {
    fn speak(&mut self, text: &str, sink: tts::Sink) -> Result<tts::Speech, Error> {
        let script = self.0.next(text.to_owned());
        let name = self.0.name;
        Ok(Box::new(Running(tokio::spawn(async move {
            for step in script {
                match step {
                    Step::Wait(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
                    Step::Say(letters) => sink(tts::Event::Audio(sung(letters, 16_000))),
                    Step::SayAt(rate_hz, letters) => sink(tts::Event::Audio(sung(letters, rate_hz))),
                    Step::Call(_) => {}
                    Step::Fail(kind) => return sink(tts::Event::Failed(Error::new(name, kind, "as told"))),
                    Step::Limit(ms) => return sink(tts::Event::Failed(limited(name, ms))),
                    Step::Overloaded(ms) => return sink(tts::Event::Failed(overloaded(name, ms))),
                    Step::End => return sink(tts::Event::Finished),
                }
            }
            std::future::pending::<()>().await;
        }))))
    }
}

pub fn limited(name: &str, ms: u64) -> Error {
    let wait = Duration::from_millis(ms);
    Error::new(name, ErrorKind::RateLimited, "as told").retry_after(Some(wait))
}

fn overloaded(name: &str, ms: u64) -> Error {
    let wait = Duration::from_millis(ms);
    Error::new(name, ErrorKind::Unavailable, "as told").retry_after(Some(wait))
}

/// The first letter is the sample, so that a test knows whose audio it is.
fn sung(letters: &str, rate_hz: u32) -> Sound {
    let samples = letters.len() * rate_hz as usize / 1_000;
    Sound::pcm16(rate_hz, vec![i16::from(letters.as_bytes()[0]); samples])
}

/// A setup with these budgets and the notes that were taken.
pub fn setup(budgets: Budgets) -> (Setup, Arc<Mutex<Vec<Note>>>) {
    let notes = Arc::new(Mutex::new(Vec::new()));
    let taken = Arc::clone(&notes);
    let take = Arc::new(move |note| taken.lock().unwrap().push(note));
    (Setup { health: Arc::<Health>::default(), notes: take, budgets }, notes)
}

/// Budgets short enough for a test and long enough for a slow machine's scheduler.
pub fn short() -> Budgets {
    Budgets {
        first_token: Duration::from_millis(150),
        stalled_token: Duration::from_millis(150),
        first_audio: Duration::from_millis(150),
        stalled_audio: Duration::from_millis(150),
        mute: Duration::from_millis(150),
        hedging: false,
    }
}

pub fn switches(notes: &Mutex<Vec<Note>>) -> Vec<(&'static str, &'static str)> {
    let switch = |note: &Note| match note {
        Note::Switched { from, to, .. } => Some((*from, *to)),
        _ => None,
    };
    notes.lock().unwrap().iter().filter_map(switch).collect()
}
