//! Text as speech: each word as its tune, cut into pieces as the vendors send them, with the times of their characters.
//!
//! Knows no vendor. A piece ends where a character ends, at a whole millisecond, so that the sum of a vendor's
//! character times is the length of its audio. Enter at [`speak`].

use parlance_media::g711::Law;

use crate::code;

/// Silence after a word, in milliseconds.
pub const GAP_MS: u32 = 60;
/// Shortest piece but the last, in milliseconds; the longest is one character longer.
pub const PIECE_MS: u32 = 100;

/// How samples become bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// 16-bit little-endian.
    Linear16,
    /// 32-bit little-endian floats from −1 to 1.
    Float32,
    /// One byte a sample.
    G711(Law),
}

/// Encoding and rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    /// How samples become bytes.
    pub encoding: Encoding,
    /// Samples a second.
    pub rate_hz: u32,
}

/// A character of the text and its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Character {
    /// The character.
    pub character: char,
    /// Milliseconds from its piece's first sample.
    pub start_ms: u32,
    /// Milliseconds it lasts; 0 where nothing sounds.
    pub for_ms: u32,
}

/// A word as it stands in the text, punctuation and all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// The word.
    pub text: String,
    /// Milliseconds from the speech's first sample.
    pub start_ms: u32,
    /// Where its tune ends.
    pub end_ms: u32,
}

/// 100 to 400 ms of speech.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Piece {
    /// The bytes.
    pub audio: Vec<u8>,
    /// How long they last, in milliseconds.
    pub for_ms: u32,
    /// The characters whose sound they are.
    pub characters: Vec<Character>,
    /// The words that begin here.
    pub words: Vec<Word>,
}

/// The pieces of a text; none if it holds no word.
pub fn speak(text: &str, format: Format) -> Vec<Piece> {
    let mut speaking =
        Speaking { format, samples: Vec::new(), at_ms: 0, characters: Vec::new(), words: Vec::new() };
    let mut rest = text;
    while let Some(start) = rest.find(|char: char| !char.is_whitespace()) {
        let (space, from_word) = rest.split_at(start);
        let end = from_word.find(char::is_whitespace).unwrap_or(from_word.len());
        speaking.pause(space);
        speaking.say(&from_word[..end]);
        rest = &from_word[end..];
    }
    if speaking.words.is_empty() {
        return Vec::new();
    }
    speaking.pause(rest);
    speaking.into_pieces()
}

/// Speech so far, with times from its start.
struct Speaking {
    format: Format,
    samples: Vec<i16>,
    at_ms: u32,
    characters: Vec<Character>,
    words: Vec<Word>,
}

impl Speaking {
    /// A word and the silence after it, which its last character keeps until white space takes it over.
    fn say(&mut self, text: &str) {
        if !text.contains(char::is_alphanumeric) {
            let silent = |character| Character { character, start_ms: self.at_ms, for_ms: 0 };
            self.characters.extend(text.chars().map(silent));
            return;
        }
        let tune = code::tune(code::number_of(text), self.format.rate_hz);
        let tune_ms = (tune.len() as u32 * 1_000).div_ceil(self.format.rate_hz);
        let (start_ms, end_ms) = (self.at_ms, self.at_ms + tune_ms);
        let count = text.chars().count() as u32;
        for (index, character) in (0..).zip(text.chars()) {
            let (from, to) = (tune_ms * index / count, tune_ms * (index + 1) / count);
            self.characters.push(Character { character, start_ms: start_ms + from, for_ms: to - from });
        }
        self.samples.extend(tune);
        self.words.push(Word { text: text.to_owned(), start_ms, end_ms });
        self.at_ms = end_ms + GAP_MS;
        self.samples.resize(self.sample(self.at_ms), 0);
        if let Some(last) = self.characters.last_mut() {
            last.for_ms += GAP_MS;
        }
    }

    /// White space takes over what its neighbour keeps of the silence.
    fn pause(&mut self, space: &str) {
        for character in space.chars() {
            let mut silence = Character { character, start_ms: self.at_ms, for_ms: 0 };
            if let Some(word) = self.characters.last_mut()
                && !word.character.is_whitespace()
                && word.for_ms >= GAP_MS
            {
                word.for_ms -= GAP_MS;
                silence = Character { character, start_ms: self.at_ms - GAP_MS, for_ms: GAP_MS };
            }
            self.characters.push(silence);
        }
    }

    fn sample(&self, at_ms: u32) -> usize {
        (u64::from(at_ms) * u64::from(self.format.rate_hz) / 1_000) as usize
    }

    fn into_pieces(self) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let mut words = self.words.iter().peekable();
        let (mut from_ms, mut characters) = (0, Vec::new());
        for (index, character) in self.characters.iter().enumerate() {
            characters.push(Character { start_ms: character.start_ms - from_ms, ..*character });
            let to_ms = character.start_ms + character.for_ms;
            let is_last = index + 1 == self.characters.len();
            if to_ms - from_ms < PIECE_MS && !is_last {
                continue;
            }
            if to_ms == from_ms {
                continue; // White space at the very end that nothing sounds in.
            }
            let mut audio = Vec::new();
            self.format.encode(&self.samples[self.sample(from_ms)..self.sample(to_ms)], &mut audio);
            let mut piece = Piece { audio, for_ms: to_ms - from_ms, ..Piece::default() };
            piece.characters.append(&mut characters);
            while let Some(word) = words.next_if(|word| word.start_ms < to_ms) {
                piece.words.push(word.clone());
            }
            pieces.push(piece);
            from_ms = to_ms;
        }
        pieces
    }
}

impl Format {
    /// Appends the samples' bytes.
    pub fn encode(&self, samples: &[i16], out: &mut Vec<u8>) {
        match self.encoding {
            Encoding::Linear16 => out.extend(samples.iter().flat_map(|sample| sample.to_le_bytes())),
            Encoding::Float32 => {
                out.extend(samples.iter().flat_map(|sample| (f32::from(*sample) / 32_768.0).to_le_bytes()));
            }
            Encoding::G711(law) => law.encode(samples, out),
        }
    }

    /// The 44 bytes before the samples of a WAV file whose length isn't known yet.
    pub fn wav_header(&self) -> Vec<u8> {
        let (code, width) = match self.encoding {
            Encoding::Linear16 => (1u16, 2u16),
            Encoding::Float32 => (3, 4),
            Encoding::G711(Law::A) => (6, 1),
            Encoding::G711(Law::Mu) => (7, 1),
        };
        let mut header = Vec::with_capacity(44);
        header.extend(b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0");
        header.extend(code.to_le_bytes());
        header.extend(1u16.to_le_bytes());
        header.extend(self.rate_hz.to_le_bytes());
        header.extend((self.rate_hz * u32::from(width)).to_le_bytes());
        header.extend(width.to_le_bytes());
        header.extend((width * 8).to_le_bytes());
        header.extend(b"data\xff\xff\xff\xff");
        header
    }
}

/// Takes from a buffer what can be spoken: up to its last white space, or all.
pub fn take_words(buffer: &mut String, all: bool) -> String {
    let end = buffer.char_indices().rev().find(|(_, char)| char.is_whitespace());
    match end {
        _ if all => std::mem::take(buffer),
        Some((at, char)) => buffer.drain(..at + char.len_utf8()).collect(),
        None => String::new(),
    }
}
