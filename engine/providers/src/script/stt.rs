//! A transcriber that hears its script: one line for each stretch of voice it is asked about.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep_until};

use super::{NAME, runtime};
use crate::Error;
use crate::audio::{Audio, AudioFormat};
use crate::running::Running;
use crate::stt::{Capabilities, Control, Event, Listener, Settings, Sink, SpeechToText, Transcript, Word};

/// Answers each finalize after `delay`: with the next line as a slice if there was voice since the
/// last one, else with an empty interim. Every stream begins at the first line; after the last
/// comes the first again. Gives no interims while the caller speaks.
#[derive(Debug, Clone)]
pub struct ScriptedStt {
    lines: Arc<[String]>,
    delay: Duration,
}

impl ScriptedStt {
    /// Hears `lines`, `delay` after each finalize. Without lines every slice is empty.
    pub fn new(lines: impl IntoIterator<Item = impl Into<String>>, delay: Duration) -> Self {
        Self { lines: lines.into_iter().map(Into::into).collect(), delay }
    }
}

impl SpeechToText for ScriptedStt {
    fn name(&self) -> &'static str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        let lag_ms_p95 = u32::try_from(self.delay.as_millis()).unwrap_or(u32::MAX);
        Capabilities {
            formats: &[AudioFormat::PCM_16K],
            interims: false,
            watermark: true,
            turns: false,
            lag_ms_p95,
        }
    }

    fn open(&self, _settings: Settings, sink: Sink) -> Result<Box<dyn Listener>, Error> {
        // Unbounded, because it holds one small answer a finalize, for `delay` each.
        let (answers, mut due) = unbounded_channel::<(Instant, Event)>();
        let deliver = runtime()?.spawn(async move {
            while let Some((at, event)) = due.recv().await {
                sleep_until(at).await;
                sink(event);
            }
        });
        Ok(Box::new(Stream {
            script: self.clone(),
            next_line: 0,
            heard_samples: 0,
            voice: None,
            answers,
            _deliver: Running(deliver),
        }))
    }
}

struct Stream {
    script: ScriptedStt,
    next_line: usize,
    heard_samples: u64,
    /// Start and end of the voice since the last answer; the end is open while voice is on.
    voice: Option<(u64, Option<u64>)>,
    answers: UnboundedSender<(Instant, Event)>,
    _deliver: Running,
}

impl Listener for Stream {
    fn hear(&mut self, audio: Audio<'_>) {
        self.heard_samples += audio.samples() as u64;
    }

    fn control(&mut self, control: Control) {
        match control {
            Control::VoiceStarted(at) => {
                let start = self.voice.map_or(at, |voice| voice.0);
                self.voice = Some((start, None));
            }
            Control::VoiceEnded(last) => self.voice = self.voice.map(|voice| (voice.0, Some(last))),
            Control::Finalize => {
                let event = self.answer();
                // The stream outlives its task only while it is being dropped.
                let _ = self.answers.send((Instant::now() + self.script.delay, event));
            }
            Control::NextTurn(_) => {}
        }
    }
}

impl Stream {
    fn answer(&mut self) -> Event {
        let heard_us = self.heard_samples * 125 / 2;
        match self.voice.take() {
            Some((start, end)) => {
                let text = self.line();
                let words = spread(&text, start, end.unwrap_or(heard_us).max(start));
                Event::Slice(Transcript { text, words, covers_until_us: Some(heard_us) })
            }
            None => Event::Interim(Transcript {
                text: String::new(),
                words: Vec::new(),
                covers_until_us: Some(heard_us),
            }),
        }
    }

    fn line(&mut self) -> String {
        let lines = &self.script.lines;
        let line = lines.get(self.next_line % lines.len().max(1)).cloned().unwrap_or_default();
        self.next_line += 1;
        line
    }
}

/// The words of `text`, each with its even share of the time.
fn spread(text: &str, start_us: u64, end_us: u64) -> Vec<Word> {
    let words: Vec<_> = text.split_whitespace().collect();
    let at = |index: usize| start_us + (end_us - start_us) * index as u64 / words.len() as u64;
    let word = |(index, text): (usize, &&str)| Word {
        text: (*text).to_owned(),
        start_us: at(index),
        end_us: at(index + 1),
    };
    words.iter().enumerate().map(word).collect()
}
