//! One decoder of the library: told a grammar, fed samples, asked for the words.
//!
//! Decides how the C calls go together and that nothing of C leaks out. When an utterance begins
//! and what its words are worth is decided in [`super::listening`]. Enter at [`Decoder::load`].

use std::collections::{HashMap, HashSet};
use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr::{NonNull, null, null_mut};
use std::sync::Arc;

use super::dictionary::{Dictionary, model_directory};
use super::ffi::{Library, RawConfig, RawDecoder};
use super::{NAME, grammar};
use crate::{Error, ErrorKind};

/// Grammars kept compiled in one decoder, at most; then all are dropped and made anew.
const COMPILED_MAX: usize = 32;

/// Samples fed at once, at most. The library reads past its ring of frames when it is given more
/// than 256 frames to stream after a longer utterance was decoded whole.
const FED_AT_ONCE: usize = 1600;

/// How much the grammar's weights count beside the sound: the library's default.
const LANGUAGE_WEIGHT: f32 = 6.5;

/// A word of the hypothesis. Times are frames of 10 ms from the utterance's first sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Heard {
    /// The word as the grammar spells it.
    pub(super) text: String,
    /// First frame.
    pub(super) start: u32,
    /// One past the last frame.
    pub(super) end: u32,
}

/// What a whole utterance came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Whole {
    /// The words of the best path.
    pub(super) words: Vec<Heard>,
    /// Whether they are a sentence of the grammar from beginning to end; if not, its beginning.
    pub(super) is_complete: bool,
}

/// A decoder. It starts without words and grammars and learns both from [`Decoder::listen_for`].
pub(super) struct Decoder {
    library: &'static Library,
    raw: NonNull<RawDecoder>,
    words: HashSet<String>,
    grammars: HashMap<Arc<str>, CString>,
    is_open: bool,
}

// SAFETY: a decoder has no ties to the thread that made it; the library only forbids two threads at
// once in the same decoder, and every call that reaches it takes `&mut self`.
unsafe impl Send for Decoder {}

impl Decoder {
    /// A new decoder with the American English acoustic model: about 30 ms, a few MB.
    pub(super) fn load() -> Result<Self, Error> {
        let library = Library::get()?;
        let model = model_directory()?.join("en-us");
        let config = parse(library, &model.to_string_lossy())?;
        // SAFETY: `config` is valid; the decoder keeps its own count of it, so ours is given back.
        let raw = unsafe {
            let raw = (library.new_decoder)(config.as_ptr());
            (library.free_config)(config.as_ptr());
            raw
        };
        let raw = NonNull::new(raw).ok_or_else(|| {
            Error::new(NAME, ErrorKind::Unavailable, "the acoustic model could not be loaded")
        })?;
        Ok(Self { library, raw, words: HashSet::new(), grammars: HashMap::new(), is_open: false })
    }

    /// From the next utterance on, hears only what `jsgf` can say. Fails with
    /// [`ErrorKind::Invalid`], naming the mistake, when the grammar can't be used.
    pub(super) fn listen_for(&mut self, jsgf: &Arc<str>) -> Result<(), Error> {
        if !self.grammars.contains_key(jsgf) {
            self.compile(jsgf)?;
        }
        let name = &self.grammars[jsgf];
        // SAFETY: the decoder is valid and `name` ends in NUL.
        match unsafe { (self.library.set_search)(self.raw.as_ptr(), name.as_ptr()) } {
            0 => Ok(()),
            _ => Err(Error::new(NAME, ErrorKind::Unavailable, "the grammar could not be switched to")),
        }
    }

    fn compile(&mut self, jsgf: &Arc<str>) -> Result<(), Error> {
        self.learn(&check(jsgf)?)?;
        if self.grammars.len() >= COMPILED_MAX {
            self.forget_grammars();
        }
        let name = c_string(&format!("g{}", self.grammars.len()))?;
        match self.set_graph(&name, &c_string(jsgf)?) {
            Some(0) => drop(self.grammars.insert(Arc::clone(jsgf), name)),
            _ => return Err(invalid("PocketSphinx refused the grammar")),
        }
        Ok(())
    }

    /// Parses the grammar and makes it known by `name`; not `Some(0)` when the library refuses it.
    /// The library's own call for this never frees what it parsed.
    fn set_graph(&mut self, name: &CStr, jsgf: &CStr) -> Option<c_int> {
        let library = self.library;
        // SAFETY: the decoder is valid and no utterance is open (see `end`); both strings end in NUL;
        // what is made here is freed here, the decoder keeps its own count of the graph.
        unsafe {
            let parsed = NonNull::new((library.parse_jsgf)(jsgf.as_ptr(), null_mut()))?.as_ptr();
            let rule = (library.public_rule)(parsed);
            let graph = if rule.is_null() {
                null_mut()
            } else {
                let scale = (library.log_scale)(self.raw.as_ptr());
                (library.build_graph)(parsed, rule, scale, LANGUAGE_WEIGHT)
            };
            (library.free_jsgf)(parsed);
            let graph = NonNull::new(graph)?.as_ptr();
            let set = (library.set_graph)(self.raw.as_ptr(), name.as_ptr(), graph);
            (library.free_graph)(graph);
            Some(set)
        }
    }

    fn learn(&mut self, words: &[String]) -> Result<(), Error> {
        let dictionary = Dictionary::get()?;
        for word in words {
            if !self.words.insert(word.clone()) {
                continue;
            }
            for (index, phones) in dictionary.sounds(word).into_iter().enumerate() {
                let spelling =
                    if index == 0 { c_string(word)? } else { c_string(&format!("{word}({})", index + 1))? };
                let phones = c_string(phones)?;
                // SAFETY: the decoder is valid and both strings end in NUL; 0 = don't rebuild searches.
                let id = unsafe {
                    (self.library.add_word)(self.raw.as_ptr(), spelling.as_ptr(), phones.as_ptr(), 0)
                };
                if id < 0 {
                    return Err(invalid(format!("the word `{word}` could not be added")));
                }
            }
        }
        Ok(())
    }

    fn forget_grammars(&mut self) {
        for (_, name) in self.grammars.drain() {
            // SAFETY: the decoder is valid and `name` ends in NUL.
            unsafe { (self.library.unset_search)(self.raw.as_ptr(), name.as_ptr()) };
        }
    }

    /// Begins an utterance. A grammar must have been chosen.
    pub(super) fn begin(&mut self) -> Result<(), Error> {
        // A new stream sets the frame count to nought, which otherwise runs on from utterance to
        // utterance, and forgets the noise of the one before.
        // SAFETY: the decoder is valid.
        let begun = unsafe {
            (self.library.start_stream)(self.raw.as_ptr());
            (self.library.start_utterance)(self.raw.as_ptr())
        };
        if begun < 0 {
            return Err(Error::new(NAME, ErrorKind::Unavailable, "an utterance could not be begun"));
        }
        self.is_open = true;
        Ok(())
    }

    /// Decodes the next samples of the open utterance (16 kHz).
    pub(super) fn feed(&mut self, samples: &[i16]) -> Result<(), Error> {
        samples.chunks(FED_AT_ONCE).try_for_each(|chunk| self.process(chunk, false))
    }

    /// Decodes a whole utterance at once and ends it. Unlike [`Decoder::feed`] it levels the
    /// channel over the whole utterance, so it hears better in noise and forgets what came before.
    pub(super) fn decode(&mut self, samples: &[i16]) -> Result<Whole, Error> {
        self.end();
        self.begin()?;
        self.process(samples, true)?;
        let so_far = self.words();
        self.end();
        let words = self.words();
        let is_complete = !words.is_empty();
        Ok(Whole { words: if is_complete { words } else { so_far }, is_complete })
    }

    fn process(&mut self, samples: &[i16], is_whole: bool) -> Result<(), Error> {
        // SAFETY: the decoder is valid, the pointer and length are those of a live slice.
        let frames = unsafe {
            let whole = c_int::from(is_whole);
            (self.library.process)(self.raw.as_ptr(), samples.as_ptr(), samples.len(), 0, whole)
        };
        if frames < 0 {
            return Err(Error::new(NAME, ErrorKind::Unavailable, "the audio could not be decoded"));
        }
        Ok(())
    }

    /// Ends the open utterance, if one is.
    pub(super) fn end(&mut self) {
        if std::mem::take(&mut self.is_open) {
            // SAFETY: the decoder is valid and an utterance is open.
            unsafe { (self.library.end_utterance)(self.raw.as_ptr()) };
        }
    }

    /// The best words so far of the open utterance, or those of the one just ended.
    pub(super) fn words(&mut self) -> Vec<Heard> {
        let mut words = Vec::new();
        // SAFETY: the decoder is valid; the iterator is used until it returns null and freed by that;
        // the word's text is copied before the next call.
        unsafe {
            let mut segment = (self.library.first_segment)(self.raw.as_ptr());
            while !segment.is_null() {
                let (mut start, mut end) = (0, 0);
                (self.library.segment_frames)(segment, &mut start, &mut end);
                let text = (self.library.segment_word)(segment);
                if !text.is_null() {
                    words.extend(heard(CStr::from_ptr(text), start, end));
                }
                segment = (self.library.next_segment)(segment);
            }
        }
        words
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        self.end();
        // SAFETY: the decoder is valid and not used again.
        unsafe { (self.library.free_decoder)(self.raw.as_ptr()) };
    }
}

/// The words of `jsgf`; [`ErrorKind::Invalid`] when it has a mistake or words without a sound.
pub(super) fn check(jsgf: &str) -> Result<Vec<String>, Error> {
    let words = grammar::words_of(jsgf).map_err(|mistake| invalid(format!("bad grammar: {mistake}")))?;
    let dictionary = Dictionary::get()?;
    let unknown: Vec<_> = words.iter().filter(|word| !dictionary.knows(word)).cloned().collect();
    if unknown.is_empty() {
        return Ok(words);
    }
    Err(invalid(format!("words that are not in the pronouncing dictionary: {}", unknown.join(", "))))
}

/// The word without its variant mark; nothing for silence, noise and the grammar's own joints.
fn heard(text: &CStr, start: c_int, end: c_int) -> Option<Heard> {
    let text = text.to_str().ok()?;
    if text.starts_with(['<', '[', '(', '+']) || start < 0 || end < start {
        return None;
    }
    let text = text.split_once('(').map_or(text, |(word, _)| word).to_owned();
    Some(Heard { text, start: start as u32, end: end as u32 + 1 })
}

/// The library's settings for a decoder without any search of its own.
fn parse(library: &Library, model: &str) -> Result<NonNull<RawConfig>, Error> {
    // bestpath costs up to 1.7 s at the end of an utterance and brings nothing with a grammar;
    // remove_silence would cut frames out and so shift every word's time.
    let arguments = ["parlance", "-hmm", model, "-bestpath", "no", "-remove_silence", "no"];
    let arguments = arguments.map(c_string).into_iter().collect::<Result<Vec<_>, _>>()?;
    let mut pointers: Vec<*mut c_char> = arguments.iter().map(|text| text.as_ptr().cast_mut()).collect();
    // SAFETY: the arguments end in NUL and outlive the call, which copies what it keeps.
    let config = unsafe {
        let known = (library.known_arguments)();
        debug_assert_ne!(known, null());
        (library.parse_arguments)(null_mut(), known, pointers.len() as c_int, pointers.as_mut_ptr(), 1)
    };
    NonNull::new(config)
        .ok_or_else(|| Error::new(NAME, ErrorKind::Unavailable, "the decoder's settings were refused"))
}

fn c_string(text: &str) -> Result<CString, Error> {
    CString::new(text).map_err(|_| invalid("the text holds a NUL character"))
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(NAME, ErrorKind::Invalid, message)
}
