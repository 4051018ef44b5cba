//! From the words of a text to flite's tokens and back, so that each written word gets one time.
//!
//! Flite says "7:30" as two words and "42nd" as two, and splits no text our way; so its tokens are
//! led back to the words they came from by counting letters. Knows no C. Enter at [`Words::of`].

use crate::tts::WordTime;

/// The words of a text, beside what flite is given of each.
pub(super) struct Words<'a> {
    written: Vec<&'a str>,
    spoken: Vec<String>,
}

/// One token of flite: what it was made of, and when it sounds. Times in microseconds.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    /// How many letters and marks of the text it took, without white space.
    pub(super) length: usize,
    /// Start and end; `None` when it makes no sound.
    pub(super) time: Option<(u64, u64)>,
}

impl<'a> Words<'a> {
    /// The words of `text`, split at white space.
    pub(super) fn of(text: &'a str) -> Self {
        let written: Vec<_> = text.split_whitespace().collect();
        let spoken = written.iter().map(|word| plain(word)).collect();
        Self { written, spoken }
    }

    /// Whether there is anything to say.
    pub(super) fn is_silent(&self) -> bool {
        self.spoken.iter().all(String::is_empty)
    }

    /// What flite is given: plain ASCII.
    pub(super) fn plain_text(&self) -> String {
        let spoken: Vec<_> = self.spoken.iter().map(String::as_str).filter(|word| !word.is_empty()).collect();
        spoken.join(" ")
    }

    /// The words with the times of their tokens, each word once and in order. A word without sound
    /// (a dash) lasts no time and stands at the end of the one before.
    pub(super) fn timed(&self, tokens: &[Token]) -> Vec<WordTime> {
        let mut tokens = tokens.iter();
        let (mut taken, mut wanted, mut now) = (0, 0, 0);
        let mut timed = Vec::with_capacity(self.written.len());
        for (written, spoken) in self.written.iter().zip(&self.spoken) {
            wanted += length(spoken);
            let mut time: Option<(u64, u64)> = None;
            while taken < wanted {
                let Some(token) = tokens.next() else { break };
                taken += token.length.max(1);
                if let Some((start, end)) = token.time {
                    time = Some((time.map_or(start, |time| time.0), end));
                }
            }
            let (start, end) = time.map_or((now, now), |(start, end)| (start.max(now), end.max(now)));
            now = end;
            timed.push(WordTime { text: (*written).to_owned(), start_us: start, end_us: end });
        }
        timed
    }
}

/// The letters and marks of `text`, without white space.
pub(super) fn length(text: &str) -> usize {
    text.bytes().filter(|byte| !byte.is_ascii_whitespace()).count()
}

/// The word in ASCII, as near as may be; empty when it holds nothing that sounds.
fn plain(word: &str) -> String {
    let plain: String = word.chars().map(ascii).collect();
    let plain = plain.trim().to_owned();
    if plain.chars().any(|c| c.is_ascii_alphanumeric() || "&%$+=@#".contains(c)) {
        plain
    } else {
        String::new()
    }
}

fn ascii(letter: char) -> &'static str {
    const ASCII: &str =
        " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~";
    match letter {
        ' '..='~' => {
            let at = letter as usize - ' ' as usize;
            &ASCII[at..=at]
        }
        '\u{2018}' | '\u{2019}' | '\u{2bc}' => "'",
        '\u{201c}' | '\u{201d}' => "\"",
        '\u{2010}' | '\u{2011}' => "-",
        '\u{2013}' | '\u{2014}' | '…' => ", ",
        'À'..='Å' | 'à'..='å' => "a",
        'Æ' | 'æ' => "ae",
        'Ç' | 'ç' => "c",
        'È'..='Ë' | 'è'..='ë' => "e",
        'Ì'..='Ï' | 'ì'..='ï' => "i",
        'Ñ' | 'ñ' => "n",
        'Ò'..='Ö' | 'Ø' | 'ò'..='ö' | 'ø' => "o",
        'Œ' | 'œ' => "oe",
        'Ù'..='Ü' | 'ù'..='ü' => "u",
        'Ý' | 'ý' | 'ÿ' => "y",
        'ß' => "ss",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str, start: u64, end: u64) -> Token {
        Token { length: text.len(), time: Some((start, end)) }
    }

    fn times(words: &[WordTime]) -> Vec<(&str, u64, u64)> {
        words.iter().map(|word| (word.text.as_str(), word.start_us, word.end_us)).collect()
    }

    #[test]
    fn a_word_that_flite_splits_gets_the_time_of_all_its_parts() {
        let words = Words::of("at (7:30) pm");
        let tokens = [
            token("at", 0, 10),
            token("(", 10, 10),
            token("7:30", 10, 60),
            token(")", 60, 60),
            token("pm", 60, 90),
        ];
        assert_eq!(times(&words.timed(&tokens)), [("at", 0, 10), ("(7:30)", 10, 60), ("pm", 60, 90)]);
    }

    #[test]
    fn a_dash_on_its_own_lasts_no_time_and_keeps_its_place() {
        let words = Words::of("well — yes");
        assert_eq!(words.plain_text(), "well yes");
        let tokens = [token("well", 5, 20), token("yes", 30, 50)];
        assert_eq!(times(&words.timed(&tokens)), [("well", 5, 20), ("—", 20, 20), ("yes", 30, 50)]);
    }

    #[test]
    fn a_dash_inside_a_word_becomes_a_pause_and_the_word_stays_one() {
        let words = Words::of("wait—no stop");
        assert_eq!(words.plain_text(), "wait, no stop");
        let tokens = [token("wait,", 0, 10), token("no", 20, 30), token("stop", 30, 40)];
        assert_eq!(times(&words.timed(&tokens)), [("wait—no", 0, 30), ("stop", 30, 40)]);
    }

    #[test]
    fn every_word_gets_a_time_even_when_tokens_run_out() {
        let words = Words::of("one two");
        assert_eq!(times(&words.timed(&[token("one", 0, 10)])), [("one", 0, 10), ("two", 10, 10)]);
    }

    #[test]
    fn accents_and_curly_quotes_become_plain_letters() {
        assert_eq!(Words::of("Zoë’s “café” 日本").plain_text(), "Zoe's \"cafe\"");
        assert!(Words::of("… — 日本").is_silent());
    }
}
