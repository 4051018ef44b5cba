//! Flite: the agent's voice without key or internet, in this process, with exact word times.
//!
//! Opens Debian's libraries while running. Speaks American English at 16 kHz; audio comes as it is
//! made, the words' times before it. Enter at [`Flite`].
//!
//! One file an idea: `ffi` the C functions, `synthesis` one sentence, `words` written words and
//! their sound, `workers` the threads.

mod ffi;
mod synthesis;
mod words;
mod workers;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{EachAlone, Request, Settings, Sink, Speaker, Speech, TextToSpeech, VoiceInfo};
use crate::{Error, ErrorKind};

const SAMPLE_RATE_HZ: u32 = 16_000;
pub(crate) const NAME: &str = "flite";

/// The Debian package that brings the library and its voices.
pub(crate) const PACKAGE: &str = "libflite1";

/// The longest text of one request, bytes; some two minutes of speech.
const TEXT_MAX: usize = 2_000;

/// The voices `slt` (female, default) and `rms` (male). Clones share the two speaking threads.
#[derive(Clone)]
pub struct Flite {
    library: &'static ffi::Library,
    workers: workers::Workers,
}

impl Flite {
    /// Opens the libraries and starts two threads that live as long as this and its clones.
    ///
    /// # Errors
    /// [`ErrorKind::NotInstalled`], with the command that brings what is missing.
    pub fn new() -> Result<Self, Error> {
        let library = ffi::Library::get()?;
        Ok(Self { library, workers: workers::Workers::start(library)? })
    }
}

impl TextToSpeech for Flite {
    fn name(&self) -> &'static str {
        NAME
    }

    fn voices(&self) -> Vec<VoiceInfo> {
        self.library.voices.iter().map(|voice| VoiceInfo::plain(voice.name, "en-US")).collect()
    }

    fn open(&self, settings: Settings) -> Result<Box<dyn Speaker>, Error> {
        self.voice(&settings.voice)?;
        let flite = self.clone();
        Ok(Box::new(EachAlone::new(settings, move |request, sink| flite.say(request, sink))))
    }
}

impl Flite {
    fn voice(&self, wanted: &str) -> Result<ffi::Voice, Error> {
        let mut voices = self.library.voices.iter();
        let found = voices.find(|voice| wanted.is_empty() || wanted == voice.name).copied();
        found.ok_or_else(|| {
            let known: Vec<_> = self.library.voices.iter().map(|voice| voice.name).collect();
            invalid(format!("there is no voice `{wanted}`; it has: {}", known.join(", ")))
        })
    }

    /// Speaks; an empty voice means the default one. At most 2,000 bytes of text.
    fn say(&self, request: Request, sink: Sink) -> Result<Speech, Error> {
        let voice = self.voice(&request.voice)?;
        if request.text.trim().is_empty() {
            return Err(invalid("there is no text to speak"));
        }
        if request.text.len() > TEXT_MAX {
            return Err(invalid(format!("the text is longer than {TEXT_MAX} bytes")));
        }
        let is_cancelled = Arc::new(AtomicBool::new(false));
        let cancel = Cancel(Arc::clone(&is_cancelled));
        let Request { text, speed_percent, .. } = request;
        self.workers.post(workers::Job { text, voice, speed_percent, sink, is_cancelled })?;
        Ok(Box::new(cancel))
    }
}

/// Stops a sentence when dropped.
struct Cancel(Arc<AtomicBool>);

impl Drop for Cancel {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(NAME, ErrorKind::Invalid, message)
}
