//! The pronouncing dictionary: how each known word sounds.
//!
//! Kept once for the whole process, as the file's text and the sorted starts of its lines (4 MB).
//! A decoder given the file itself would hold 134,000 words of its own and take 200 ms to load;
//! ours starts empty and is told only the words of its grammars. Enter at [`Dictionary::get`].

use std::path::PathBuf;
use std::sync::OnceLock;

use super::NAME;
use crate::{Error, ErrorKind, soname};

/// Where Debian and a local build put the American English model.
const MODEL_DIRECTORIES: [&str; 2] =
    ["/usr/share/pocketsphinx/model/en-us", "/usr/local/share/pocketsphinx/model/en-us"];

/// The folder that holds the acoustic model `en-us` and the dictionary `cmudict-en-us.dict`.
pub(super) fn model_directory() -> Result<PathBuf, Error> {
    MODEL_DIRECTORIES
        .iter()
        .map(PathBuf::from)
        .find(|path| path.join("en-us/mdef").is_file() && path.join("cmudict-en-us.dict").is_file())
        .ok_or_else(|| soname::missing(NAME, "the American English model is missing", "pocketsphinx-en-us"))
}

/// Words and their sounds, one entry a line: `word PHONE PHONE …`, variants as `word(2)`.
pub(super) struct Dictionary {
    text: String,
    /// Where the lines start in `text`, sorted by their word.
    lines: Vec<u32>,
}

impl Dictionary {
    /// The installed dictionary, read at the first call.
    pub(super) fn get() -> Result<&'static Self, Error> {
        static DICTIONARY: OnceLock<Result<Dictionary, Error>> = OnceLock::new();
        DICTIONARY.get_or_init(Self::load).as_ref().map_err(Clone::clone)
    }

    fn load() -> Result<Self, Error> {
        let path = model_directory()?.join("cmudict-en-us.dict");
        let text = std::fs::read_to_string(&path).map_err(|error| {
            Error::new(NAME, ErrorKind::NotInstalled, format!("{} can't be read: {error}", path.display()))
        })?;
        Ok(Self::parse(text))
    }

    fn parse(text: String) -> Self {
        let mut lines = Vec::with_capacity(140_000);
        let mut start = 0;
        for line in text.split_inclusive('\n') {
            if !entry(line).1.is_empty() {
                lines.push(start as u32);
            }
            start += line.len();
        }
        lines.sort_by_key(|&at| entry(&text[at as usize..]).0);
        Self { text, lines }
    }

    /// The sounds of `word`, first the usual one; empty when the word is not known. Case is ignored.
    pub(super) fn sounds(&self, word: &str) -> Vec<&str> {
        let word = word.to_lowercase();
        let variants = (2..).map(|n| format!("{word}({n})"));
        std::iter::once(word.clone()).chain(variants).map_while(|spelling| self.entry_of(&spelling)).collect()
    }

    /// Whether `word` can be recognised at all. Case is ignored.
    pub(super) fn knows(&self, word: &str) -> bool {
        self.entry_of(&word.to_lowercase()).is_some()
    }

    fn entry_of(&self, spelling: &str) -> Option<&str> {
        let word_at = |at: &u32| entry(&self.text[*at as usize..]).0;
        let index = self.lines.binary_search_by_key(&spelling, word_at).ok()?;
        Some(entry(&self.text[self.lines[index] as usize..]).1)
    }
}

/// The word and the phones of the line that `text` begins with; no phones when it is no entry.
fn entry(text: &str) -> (&str, &str) {
    let line = text.split('\n').next().unwrap_or("");
    let (word, phones) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    (word, phones.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Dictionary {
        Dictionary::parse("zero Z IH R OW\na AH\na(2) EY\n\nfriday F R AY D IY\n".to_owned())
    }

    #[test]
    fn every_way_to_say_a_word_is_found_in_the_order_of_the_file() {
        assert_eq!(small().sounds("a"), ["AH", "EY"]);
    }

    #[test]
    fn a_name_is_found_whatever_its_case() {
        assert_eq!(small().sounds("Friday"), ["F R AY D IY"]);
        assert!(small().knows("ZERO"));
    }

    #[test]
    fn a_word_that_is_not_listed_has_no_sound() {
        assert!(small().sounds("parlance").is_empty());
        assert!(!small().knows("frida"));
    }
}
