//! PocketSphinx as C sees it: the functions we call, found at run time, and nothing else.
//!
//! Signatures are written by hand from `pocketsphinx.h`, `ps_search.h`, `jsgf.h`, `fsg_model.h`,
//! `cmd_ln.h` and `err.h` of
//! the 5prealpha release (Debian `libpocketsphinx-dev`). What the calls mean together is decided
//! in [`super::decoder`]. Enter at [`Library::get`].

use std::ffi::{c_char, c_int, c_void};
use std::sync::OnceLock;

use super::{NAME, PACKAGES};
use crate::{Error, soname};

/// A decoder; only ever behind a pointer.
#[repr(C)]
pub(super) struct RawDecoder([u8; 0]);

/// Parsed settings; only ever behind a pointer.
#[repr(C)]
pub(super) struct RawConfig([u8; 0]);

/// An iterator over the words of a hypothesis; only ever behind a pointer.
#[repr(C)]
pub(super) struct RawSegment([u8; 0]);

/// A parsed grammar; only ever behind a pointer.
#[repr(C)]
pub(super) struct RawGrammar([u8; 0]);

/// A grammar written out as a graph of words; only ever behind a pointer, counted by its users.
#[repr(C)]
pub(super) struct RawGraph([u8; 0]);

/// The functions of `libsphinxbase.so.3` and `libpocketsphinx.so.3`.
pub(super) struct Library {
    pub(super) parse_arguments:
        unsafe extern "C" fn(*mut RawConfig, *const c_void, c_int, *mut *mut c_char, c_int) -> *mut RawConfig,
    pub(super) free_config: unsafe extern "C" fn(*mut RawConfig) -> c_int,
    pub(super) known_arguments: unsafe extern "C" fn() -> *const c_void,
    pub(super) new_decoder: unsafe extern "C" fn(*mut RawConfig) -> *mut RawDecoder,
    pub(super) free_decoder: unsafe extern "C" fn(*mut RawDecoder) -> c_int,
    pub(super) add_word: unsafe extern "C" fn(*mut RawDecoder, *const c_char, *const c_char, c_int) -> c_int,
    pub(super) parse_jsgf: unsafe extern "C" fn(*const c_char, *mut RawGrammar) -> *mut RawGrammar,
    pub(super) free_jsgf: unsafe extern "C" fn(*mut RawGrammar),
    pub(super) public_rule: unsafe extern "C" fn(*mut RawGrammar) -> *mut c_void,
    /// Grammar, rule, scale of the logarithms, weight of the language model.
    pub(super) build_graph:
        unsafe extern "C" fn(*mut RawGrammar, *mut c_void, *mut c_void, f32) -> *mut RawGraph,
    pub(super) free_graph: unsafe extern "C" fn(*mut RawGraph) -> c_int,
    pub(super) log_scale: unsafe extern "C" fn(*mut RawDecoder) -> *mut c_void,
    pub(super) set_graph: unsafe extern "C" fn(*mut RawDecoder, *const c_char, *mut RawGraph) -> c_int,
    pub(super) set_search: unsafe extern "C" fn(*mut RawDecoder, *const c_char) -> c_int,
    pub(super) unset_search: unsafe extern "C" fn(*mut RawDecoder, *const c_char) -> c_int,
    pub(super) start_stream: unsafe extern "C" fn(*mut RawDecoder) -> c_int,
    pub(super) start_utterance: unsafe extern "C" fn(*mut RawDecoder) -> c_int,
    pub(super) process: unsafe extern "C" fn(*mut RawDecoder, *const i16, usize, c_int, c_int) -> c_int,
    pub(super) end_utterance: unsafe extern "C" fn(*mut RawDecoder) -> c_int,
    pub(super) first_segment: unsafe extern "C" fn(*mut RawDecoder) -> *mut RawSegment,
    pub(super) next_segment: unsafe extern "C" fn(*mut RawSegment) -> *mut RawSegment,
    pub(super) segment_word: unsafe extern "C" fn(*mut RawSegment) -> *const c_char,
    pub(super) segment_frames: unsafe extern "C" fn(*mut RawSegment, *mut c_int, *mut c_int),
}

impl Library {
    /// The libraries, opened at the first call; the same answer ever after.
    pub(super) fn get() -> Result<&'static Self, Error> {
        static LIBRARY: OnceLock<Result<Library, Error>> = OnceLock::new();
        LIBRARY.get_or_init(Self::open).as_ref().map_err(Clone::clone)
    }

    fn open() -> Result<Self, Error> {
        let base = soname::open(NAME, "libsphinxbase.so.3", PACKAGES[0])?;
        let sphinx = soname::open(NAME, "libpocketsphinx.so.3", PACKAGES[0])?;
        // SAFETY: each field's type is the signature in the headers named at the head of this file.
        unsafe {
            let silence: unsafe extern "C" fn(*mut c_void) = soname::function(NAME, base, "err_set_logfp")?;
            // The library logs hundreds of lines a decoder, to a stream shared by all threads.
            silence(std::ptr::null_mut());
            Ok(Self {
                parse_arguments: soname::function(NAME, base, "cmd_ln_parse_r")?,
                free_config: soname::function(NAME, base, "cmd_ln_free_r")?,
                known_arguments: soname::function(NAME, sphinx, "ps_args")?,
                new_decoder: soname::function(NAME, sphinx, "ps_init")?,
                free_decoder: soname::function(NAME, sphinx, "ps_free")?,
                add_word: soname::function(NAME, sphinx, "ps_add_word")?,
                parse_jsgf: soname::function(NAME, base, "jsgf_parse_string")?,
                free_jsgf: soname::function(NAME, base, "jsgf_grammar_free")?,
                public_rule: soname::function(NAME, base, "jsgf_get_public_rule")?,
                build_graph: soname::function(NAME, base, "jsgf_build_fsg")?,
                free_graph: soname::function(NAME, base, "fsg_model_free")?,
                log_scale: soname::function(NAME, sphinx, "ps_get_logmath")?,
                set_graph: soname::function(NAME, sphinx, "ps_set_fsg")?,
                set_search: soname::function(NAME, sphinx, "ps_set_search")?,
                unset_search: soname::function(NAME, sphinx, "ps_unset_search")?,
                start_stream: soname::function(NAME, sphinx, "ps_start_stream")?,
                start_utterance: soname::function(NAME, sphinx, "ps_start_utt")?,
                process: soname::function(NAME, sphinx, "ps_process_raw")?,
                end_utterance: soname::function(NAME, sphinx, "ps_end_utt")?,
                first_segment: soname::function(NAME, sphinx, "ps_seg_iter")?,
                next_segment: soname::function(NAME, sphinx, "ps_seg_next")?,
                segment_word: soname::function(NAME, sphinx, "ps_seg_word")?,
                segment_frames: soname::function(NAME, sphinx, "ps_seg_frames")?,
            })
        }
    }
}
