//! PocketSphinx: recognition on this machine, without key or internet, of what a grammar can say.
//!
//! Opens Debian's libraries while running, one decoder and one thread a call (7 MB each). It hears
//! only what the expectation's grammar can say; without a grammar it tells that it listened and
//! gives no words, because its open language model is wrong in every third word. It can't tell
//! speech outside its grammar from speech inside: read slots back. Enter at [`PocketSphinx`].
//!
//! One file an idea: `ffi` the C functions, `decoder` one decoder, `dictionary` how words sound,
//! `grammar` and `tokens` what is wrong with a grammar, `listening` the call's turns and utterances, `kept` its
//! audio, `voice` its voiced spans, `gate` what can have been said, `stable` what to tell early,
//! `worker` the thread.

mod decoder;
mod dictionary;
mod ffi;
mod gate;
mod grammar;
mod kept;
mod listening;
mod stable;
mod tokens;
mod voice;
mod worker;

use super::{Capabilities, Listener, Settings, Sink, SpeechToText};
use crate::audio::AudioFormat;
use crate::{Error, ErrorKind};

pub(crate) const NAME: &str = "pocketsphinx";

/// The Debian packages that bring all of it; the first pulls in sphinxbase, whose package has
/// another name on newer systems.
pub(crate) const PACKAGES: [&str; 2] = ["libpocketsphinx3", "pocketsphinx-en-us"];

/// The grammar recogniser. American English, 16 kHz.
#[derive(Debug, Clone, Copy)]
pub struct PocketSphinx(());

impl PocketSphinx {
    /// Opens the libraries and looks for the model; cheap, and the same answer every time.
    ///
    /// # Errors
    /// [`ErrorKind::NotInstalled`], with the command that brings what is missing.
    pub fn new() -> Result<Self, Error> {
        ffi::Library::get()?;
        dictionary::model_directory()?;
        Ok(Self(()))
    }
}

impl SpeechToText for PocketSphinx {
    fn name(&self) -> &'static str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            formats: &[AudioFormat::Pcm16 { sample_rate_hz: kept::SAMPLE_RATE_HZ }],
            interims: true,
            watermark: true,
            turns: false,
            lag_ms_p95: 200,
        }
    }

    fn open(&self, settings: Settings, sink: Sink) -> Result<Box<dyn Listener>, Error> {
        let language = settings.language.to_ascii_lowercase();
        if !language.is_empty() && language.split(['-', '_']).next() != Some("en") {
            let message = format!("it knows English only, not `{}`", settings.language);
            return Err(Error::new(NAME, ErrorKind::Invalid, message));
        }
        Ok(Box::new(worker::Worker::start(settings, sink)?))
    }
}

/// Whether `jsgf` can be listened for: well-formed, every rule defined, every word known.
///
/// # Errors
/// [`ErrorKind::Invalid`] naming the first mistake or all the unknown words;
/// [`ErrorKind::NotInstalled`] when there is no dictionary to look them up in.
pub fn check_grammar(jsgf: &str) -> Result<(), Error> {
    decoder::check(jsgf).map(drop)
}

/// The words of `jsgf` that can't be recognised because nobody knows how they sound, sorted.
///
/// # Errors
/// As [`check_grammar`], for grammars that can't be read at all.
pub fn unknown_words(jsgf: &str) -> Result<Vec<String>, Error> {
    let words = grammar::words_of(jsgf)
        .map_err(|mistake| Error::new(NAME, ErrorKind::Invalid, format!("bad grammar: {mistake}")))?;
    let dictionary = dictionary::Dictionary::get()?;
    Ok(words.into_iter().filter(|word| !dictionary.knows(word)).collect())
}
