//! One sentence through flite: its audio as it is made, with the words' times before it.
//!
//! Times are known before the first sample, because flite plans all durations first. When someone
//! stops listening, the next chunk is the last. Enter at [`synthesise`].

use std::ffi::{CStr, CString, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::null_mut;

use super::NAME;
use super::SAMPLE_RATE_HZ;
use super::ffi::{Library, RawItem, RawStreaming, RawUtterance, RawWave, Voice};
use super::words::{Token, Words, length};
use crate::tts::{Event, Sound};
use crate::{Error, ErrorKind};

/// Samples a chunk, about: 100 ms. Smaller ones come no earlier, the planning takes longer.
const CHUNK_SAMPLES: c_int = 1600;
/// The pace that is the voice's own, percent.
const ORDINARY: u16 = 100;
const STOP: c_int = -1;
const GO_ON: c_int = 0;

/// What the callback needs; lives on the stack of [`synthesise`].
struct Listener<'a> {
    library: &'static Library,
    utterance: *const RawUtterance,
    words: &'a Words<'a>,
    has_words: bool,
    /// Takes the next event; false means that nobody listens any more.
    tell: &'a mut dyn FnMut(Event) -> bool,
}

/// Speaks `words`, handing each event to `tell` until that returns false. Tells no `Finished`.
pub(super) fn synthesise(
    library: &'static Library,
    voice: Voice,
    words: &Words,
    speed_percent: u16,
    tell: &mut dyn FnMut(Event) -> bool,
) -> Result<(), Error> {
    let text = CString::new(words.plain_text())
        .map_err(|_| Error::new(NAME, ErrorKind::Invalid, "the text holds a NUL character"))?;
    let mut listener = Listener { library, utterance: null_mut(), words, has_words: false, tell };
    // SAFETY: the utterance is ours until it is deleted; the streaming structure becomes a feature
    // of it and is freed with it; `listener` and `text` outlive both.
    unsafe {
        let utterance = (library.new_utterance)();
        listener.utterance = utterance;
        (library.set_text)(utterance, text.as_ptr());
        let streaming = (library.new_streaming)();
        (*streaming).samples_min = CHUNK_SAMPLES;
        (*streaming).callback = Some(on_chunk);
        (*streaming).user_data = (&raw mut listener).cast();
        let value = (library.streaming_value)(streaming);
        (library.set_feature)((*utterance).features, c"streaming_info".as_ptr(), value);
        if speed_percent != ORDINARY {
            let stretch = f32::from(ORDINARY) / f32::from(speed_percent.max(1));
            (library.set_number)((*utterance).features, c"duration_stretch".as_ptr(), stretch);
        }
        let done = (library.run)(utterance, voice.raw, library.from_text);
        if done.is_null() {
            return Err(Error::new(NAME, ErrorKind::Unavailable, "flite could not speak the text"));
        }
        (library.delete_utterance)(done);
    }
    Ok(())
}

/// Flite made the samples `start..start + size`.
unsafe extern "C" fn on_chunk(
    wave: *const RawWave,
    start: c_int,
    size: c_int,
    _is_last: c_int,
    streaming: *mut RawStreaming,
) -> c_int {
    // SAFETY: flite passes the structure that `synthesise` filled, whose listener is alive, and a
    // wave that holds the samples it names.
    let (listener, samples) = unsafe {
        let listener = &mut *(*streaming).user_data.cast::<Listener>();
        let samples = (*wave).samples.add(start.max(0) as usize);
        (listener, std::slice::from_raw_parts(samples, size.max(0) as usize))
    };
    // A panic must not unwind through C.
    match catch_unwind(AssertUnwindSafe(|| listener.take(samples))) {
        Ok(true) => GO_ON,
        _ => STOP,
    }
}

impl Listener<'_> {
    fn take(&mut self, samples: &[i16]) -> bool {
        if !std::mem::replace(&mut self.has_words, true) {
            // SAFETY: flite is inside `run` with this utterance, its relations are complete.
            let tokens = unsafe { tokens(self.library, self.utterance) };
            if !(self.tell)(Event::Words(self.words.timed(&tokens))) {
                return false;
            }
        }
        samples.is_empty() || (self.tell)(Event::Audio(Sound::pcm16(SAMPLE_RATE_HZ, samples)))
    }
}

/// The tokens of the utterance with the times of the words each was read as.
///
/// # Safety
/// The utterance must be alive and its segments timed.
unsafe fn tokens(library: &Library, utterance: *const RawUtterance) -> Vec<Token> {
    let mut tokens = Vec::new();
    // SAFETY: asking for a relation or a text that isn't there ends the process, so each is looked
    // for first; items live as long as their utterance.
    unsafe {
        if (library.has_relation)(utterance, c"Token".as_ptr()) == 0 {
            return tokens;
        }
        let mut item = (library.first)((library.relation)(utterance, c"Token".as_ptr()));
        while !item.is_null() {
            let text = |name: &CStr| match (library.has_feature)(item, name.as_ptr()) {
                0 => 0,
                _ => length(&CStr::from_ptr((library.text_of)(item, name.as_ptr())).to_string_lossy()),
            };
            let length = text(c"prepunctuation") + text(c"name") + text(c"punc");
            tokens.push(Token { length, time: time_of(library, item) });
            item = (library.next)(item);
        }
    }
    tokens
}

/// From the first sound of the token's first word to the last sound of its last.
///
/// # Safety
/// As [`tokens`], and `token` must be of the relation `Token`.
unsafe fn time_of(library: &Library, token: *const RawItem) -> Option<(u64, u64)> {
    // A path that leads nowhere reads as nought.
    let start_path = c"R:SylStructure.daughter1.daughter1.R:Segment.p.end";
    let end_path = c"R:SylStructure.daughtern.daughtern.R:Segment.end";
    let mut time: Option<(u64, u64)> = None;
    // SAFETY: the daughters of a token are its words, alive as long as it is.
    unsafe {
        let mut word = (library.daughter)(token);
        while !word.is_null() {
            let start = microseconds((library.number_at)(word, start_path.as_ptr()));
            let end = microseconds((library.number_at)(word, end_path.as_ptr()));
            if end > start {
                time = Some((time.map_or(start, |time| time.0), end));
            }
            word = (library.next)(word);
        }
    }
    time
}

fn microseconds(seconds: f32) -> u64 {
    (f64::from(seconds) * 1e6).round() as u64
}
