//! Flite as C sees it: the functions we call, found at run time, and nothing else.
//!
//! Signatures and layouts are written by hand from `flite.h`, `cst_wave.h`, `cst_audio.h` and
//! `cst_utterance.h` of flite 2.2 (Debian `flite1-dev`). What the calls mean together is decided in
//! [`super::synthesis`]. Enter at [`Library::get`].

use std::ffi::{c_char, c_float, c_int, c_void};
use std::sync::OnceLock;

use super::{NAME, PACKAGE};
use crate::{Error, soname};

/// A voice; only ever behind a pointer, and never freed.
#[repr(C)]
pub(super) struct RawVoice([u8; 0]);

/// An item of a relation (a token, a word); only ever behind a pointer, owned by its utterance.
#[repr(C)]
pub(super) struct RawItem([u8; 0]);

/// A relation of an utterance; only ever behind a pointer, owned by its utterance.
#[repr(C)]
pub(super) struct RawRelation([u8; 0]);

/// The beginning of `cst_utterance`.
#[repr(C)]
pub(super) struct RawUtterance {
    pub(super) features: *mut c_void,
}

/// `cst_wave`.
#[repr(C)]
pub(super) struct RawWave {
    kind: *const c_char,
    sample_rate: c_int,
    num_samples: c_int,
    num_channels: c_int,
    pub(super) samples: *mut i16,
}

/// What flite calls with the samples `start..start + size` of the wave; not nought stops it.
pub(super) type StreamCallback =
    unsafe extern "C" fn(*const RawWave, c_int, c_int, c_int, *mut RawStreaming) -> c_int;

/// `cst_audio_streaming_info`.
#[repr(C)]
pub(super) struct RawStreaming {
    pub(super) samples_min: c_int,
    pub(super) callback: Option<StreamCallback>,
    utterance: *const RawUtterance,
    item: *const RawItem,
    pub(super) user_data: *mut c_void,
}

/// A voice by its short name.
#[derive(Clone, Copy)]
pub(super) struct Voice {
    pub(super) name: &'static str,
    pub(super) raw: *const RawVoice,
}

// SAFETY: a voice is only read once it is registered; flite keeps what changes in the utterance.
unsafe impl Send for Voice {}
// SAFETY: as above.
unsafe impl Sync for Voice {}

type Synthesise = unsafe extern "C" fn(*mut RawUtterance) -> *mut RawUtterance;

/// The functions of `libflite.so.1` and the voices found beside it.
pub(super) struct Library {
    pub(super) voices: Vec<Voice>,
    pub(super) new_utterance: unsafe extern "C" fn() -> *mut RawUtterance,
    pub(super) delete_utterance: unsafe extern "C" fn(*mut RawUtterance),
    pub(super) set_text: unsafe extern "C" fn(*mut RawUtterance, *const c_char) -> *mut RawUtterance,
    pub(super) new_streaming: unsafe extern "C" fn() -> *mut RawStreaming,
    pub(super) streaming_value: unsafe extern "C" fn(*const RawStreaming) -> *mut c_void,
    pub(super) set_feature: unsafe extern "C" fn(*mut c_void, *const c_char, *const c_void),
    pub(super) set_number: unsafe extern "C" fn(*mut c_void, *const c_char, c_float),
    /// Frees the utterance itself when it returns null.
    pub(super) run: unsafe extern "C" fn(*mut RawUtterance, *const RawVoice, Synthesise) -> *mut RawUtterance,
    pub(super) from_text: Synthesise,
    pub(super) relation: unsafe extern "C" fn(*const RawUtterance, *const c_char) -> *mut RawRelation,
    pub(super) has_relation: unsafe extern "C" fn(*const RawUtterance, *const c_char) -> c_int,
    pub(super) first: unsafe extern "C" fn(*mut RawRelation) -> *mut RawItem,
    pub(super) next: unsafe extern "C" fn(*const RawItem) -> *mut RawItem,
    pub(super) daughter: unsafe extern "C" fn(*const RawItem) -> *mut RawItem,
    pub(super) has_feature: unsafe extern "C" fn(*const RawItem, *const c_char) -> c_int,
    pub(super) text_of: unsafe extern "C" fn(*const RawItem, *const c_char) -> *const c_char,
    pub(super) number_at: unsafe extern "C" fn(*const RawItem, *const c_char) -> c_float,
}

impl Library {
    /// The library with its voices, opened at the first call; the same answer ever after.
    pub(super) fn get() -> Result<&'static Self, Error> {
        static LIBRARY: OnceLock<Result<Library, Error>> = OnceLock::new();
        LIBRARY.get_or_init(Self::open).as_ref().map_err(Clone::clone)
    }

    fn open() -> Result<Self, Error> {
        let flite = soname::open(NAME, "libflite.so.1", PACKAGE)?;
        // SAFETY: each field's type is the signature in the headers named at the head of this file.
        unsafe {
            let init: unsafe extern "C" fn() -> c_int = soname::function(NAME, flite, "flite_init")?;
            init();
            Ok(Self {
                voices: voices()?,
                new_utterance: soname::function(NAME, flite, "new_utterance")?,
                delete_utterance: soname::function(NAME, flite, "delete_utterance")?,
                set_text: soname::function(NAME, flite, "utt_set_input_text")?,
                new_streaming: soname::function(NAME, flite, "new_audio_streaming_info")?,
                streaming_value: soname::function(NAME, flite, "audio_streaming_info_val")?,
                set_feature: soname::function(NAME, flite, "flite_feat_set")?,
                set_number: soname::function(NAME, flite, "flite_feat_set_float")?,
                run: soname::function(NAME, flite, "flite_do_synth")?,
                from_text: soname::function(NAME, flite, "utt_synth")?,
                relation: soname::function(NAME, flite, "utt_relation")?,
                has_relation: soname::function(NAME, flite, "utt_relation_present")?,
                first: soname::function(NAME, flite, "relation_head")?,
                next: soname::function(NAME, flite, "item_next")?,
                daughter: soname::function(NAME, flite, "item_daughter")?,
                has_feature: soname::function(NAME, flite, "item_feat_present")?,
                text_of: soname::function(NAME, flite, "item_feat_string")?,
                number_at: soname::function(NAME, flite, "ffeature_float")?,
            })
        }
    }
}

/// The voices that are installed, `slt` first. The others of flite are rougher or of 8 kHz.
fn voices() -> Result<Vec<Voice>, Error> {
    let mut voices = Vec::new();
    let mut trouble = None;
    for name in ["slt", "rms"] {
        match voice(name) {
            Ok(voice) => voices.push(voice),
            Err(error) => trouble = Some(error),
        }
    }
    match trouble {
        Some(error) if voices.is_empty() => Err(error),
        _ => Ok(voices),
    }
}

fn voice(name: &'static str) -> Result<Voice, Error> {
    let library = soname::open(NAME, &format!("libflite_cmu_us_{name}.so.1"), PACKAGE)?;
    // SAFETY: every voice library of flite registers itself by a function of this kind; the
    // argument is a directory that these voices don't use. Called from one thread only (`get`).
    let raw = unsafe {
        let register: unsafe extern "C" fn(*const c_char) -> *const RawVoice =
            soname::function(NAME, library, &format!("register_cmu_us_{name}"))?;
        register(std::ptr::null())
    };
    if raw.is_null() {
        return Err(soname::missing(NAME, &format!("voice {name} could not be made"), PACKAGE));
    }
    Ok(Voice { name, raw })
}
