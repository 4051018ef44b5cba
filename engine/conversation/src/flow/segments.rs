//! Segments: streamed text cut into pieces that can be said one after the other (A2).
//!
//! The first piece ends at the first clause of three words or 25 characters, so that the voice can
//! start early; later ones are sentences. Never cuts inside a number, URL, e-mail, abbreviation or
//! decimal. A cut is decided only by the text around it, never by how the text arrived: any chunks
//! give the same segments. Text stays as it is; words are made of it by `normalize_for_speech`.
//! Enter at [`Segmenter::push`].

/// Fewest words of a first clause.
const FIRST_WORDS: usize = 3;
/// Or its fewest characters.
const FIRST_CHARS: usize = 25;
/// Longest run without the end of a sentence; then a clause or a space has to do.
const LONGEST: usize = 240;

/// Ends a sentence where whitespace follows.
const SENTENCE: &str = ".!?\u{2026}";
/// Ends a sentence whatever follows: scripts that are written without spaces, or whose mark has no
/// other use.
const SENTENCE_ANYWHERE: &str = "。！？｡؟۔।॥։።፧";
/// Ends a clause where whitespace follows.
const CLAUSE: &str = ",;:\u{2014}\u{2013}";
/// Ends a clause whatever follows.
const CLAUSE_ANYWHERE: &str = "，、；：،؛፣";
/// Goes with the mark before it.
const CLOSING: &str = "\"')]}\u{201d}\u{2019}»」』）】*_";

/// Words that end in a full stop and do not end a sentence, lower case without the stop.
const TITLES: &str = " mr mrs ms dr prof st mt sr jr rev gen col sgt capt lt hon vs no nos approx dept est inc ltd \
    co corp ave blvd rd apt tel ext fig vol e.g i.e cf jan feb mar apr jun jul aug sep sept oct nov dec mon tue tues \
    wed thu thur thurs fri sat sun ";
/// The same, but they may end one: decided by whether a capital follows.
const ENDS_MAYBE: &str = " a.m p.m etc u.s u.k a.d b.c ph.d ";

/// Cuts streamed text. Takes text in any chunks, gives whole segments.
#[derive(Debug, Clone, Default)]
pub struct Segmenter {
    /// What was not given yet.
    text: String,
    /// Whether the first segment was given.
    started: bool,
}

impl Segmenter {
    /// A segmenter at the beginning of a reply.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes more text; gives the segments that are certain by now, trimmed, none empty.
    pub fn push(&mut self, text: &str) -> Vec<String> {
        self.text.push_str(text);
        let mut segments = Vec::new();
        while let Some(end) = self.cut() {
            let rest = self.text.split_off(end);
            let segment = std::mem::replace(&mut self.text, rest);
            segments.extend(self.kept(&segment));
        }
        segments
    }

    /// The end of the text: what is left, if anything.
    pub fn finish(&mut self) -> Option<String> {
        let rest = std::mem::take(&mut self.text);
        let segment = self.kept(&rest);
        self.started = false;
        segment
    }

    fn kept(&mut self, segment: &str) -> Option<String> {
        let segment = segment.trim();
        // Marks alone ("…", "**") are nothing to say.
        segment.chars().any(char::is_alphanumeric).then(|| {
            self.started = true;
            segment.to_owned()
        })
    }

    /// Where the next segment ends, if that is certain.
    fn cut(&self) -> Option<usize> {
        let chars: Vec<(usize, char)> = self.text.char_indices().collect();
        let first = chars.iter().position(|(_, c)| !c.is_whitespace())?;
        let mut fallback = None;
        for at in first..chars.len() {
            let mark = self.mark(&chars, at)?;
            let (kind, end) = mark;
            let end_byte = chars.get(end).map_or(self.text.len(), |(byte, _)| *byte);
            match kind {
                Mark::Sentence => return Some(end_byte),
                Mark::Clause if !self.started && is_long_enough(&self.text[..end_byte]) => {
                    return Some(end_byte);
                }
                Mark::Clause | Mark::Space if at > first => fallback = Some((kind, end_byte)).max(fallback),
                _ => {}
            }
            if let Some((_, end)) = fallback.filter(|_| at - first >= LONGEST) {
                return Some(end);
            }
        }
        None
    }

    /// What stands at `at`, and the place after it. None: that depends on text still to come.
    fn mark(&self, chars: &[(usize, char)], at: usize) -> Option<(Mark, usize)> {
        let c = chars[at].1;
        if c == '\n' {
            return Some((Mark::Sentence, at + 1));
        }
        if c.is_whitespace() {
            return Some((Mark::Space, at + 1));
        }
        let (sentence, anywhere) = (SENTENCE.contains(c), SENTENCE_ANYWHERE.contains(c));
        let clause = CLAUSE.contains(c) || CLAUSE_ANYWHERE.contains(c);
        if !sentence && !anywhere && !clause {
            return Some((Mark::None, at + 1));
        }
        let more = |c: char| CLOSING.contains(c) || SENTENCE.contains(c) || SENTENCE_ANYWHERE.contains(c);
        let end = (at + 1..chars.len()).find(|next| !more(chars[*next].1))?;
        let kind = if clause { Mark::Clause } else { Mark::Sentence };
        if anywhere || CLAUSE_ANYWHERE.contains(c) {
            return Some((kind, end));
        }
        if !chars[end].1.is_whitespace() {
            return Some((Mark::None, at + 1));
        }
        if c == '.' && chars.get(at + 1).is_some_and(|(_, next)| next.is_whitespace()) {
            return self.after_full_stop(chars, at, end);
        }
        Some((kind, end))
    }

    /// A full stop with a space after it: the end of a sentence, or of an abbreviation.
    fn after_full_stop(&self, chars: &[(usize, char)], at: usize, end: usize) -> Option<(Mark, usize)> {
        let start = chars[..at].iter().rposition(|(_, c)| c.is_whitespace()).map_or(0, |space| space + 1);
        let word: String = chars[start..at].iter().map(|(_, c)| *c).collect();
        let word = word.trim_start_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
        let begins_line =
            chars[..start].iter().rev().find(|(_, c)| *c != ' ').is_none_or(|(_, c)| *c == '\n');
        let initial = word.chars().count() == 1 && word != "i" && word.chars().all(char::is_alphabetic);
        let numbered = begins_line && !word.is_empty() && word.chars().all(|c| c.is_ascii_digit());
        let padded = format!(" {word} ");
        if initial || numbered || (!word.is_empty() && TITLES.contains(&padded)) {
            return Some((Mark::None, at + 1));
        }
        if ENDS_MAYBE.contains(&padded) && !word.is_empty() {
            let next = chars[end..].iter().find(|(_, c)| !c.is_whitespace() || *c == '\n')?.1;
            let ends = next.is_uppercase() || next == '\n';
            return Some(if ends { (Mark::Sentence, end) } else { (Mark::None, at + 1) });
        }
        Some((Mark::Sentence, end))
    }
}

/// What a character is to the cutting, by how good a place to cut it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Mark {
    None,
    Space,
    Clause,
    Sentence,
}

fn is_long_enough(clause: &str) -> bool {
    let clause = clause.trim();
    // Scripts without spaces: two characters are about a word.
    let wide = clause
        .chars()
        .filter(|c| ('\u{3040}'..='\u{9fff}').contains(c) || ('\u{ac00}'..='\u{d7a3}').contains(c));
    let words = clause.split_whitespace().count().max(wide.count() / 2);
    words >= FIRST_WORDS || clause.chars().count() >= FIRST_CHARS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(text: &str) -> Vec<String> {
        let mut segmenter = Segmenter::new();
        let mut segments = segmenter.push(text);
        segments.extend(segmenter.finish());
        segments
    }

    #[test]
    fn the_first_clause_goes_first_and_then_whole_sentences() {
        assert_eq!(
            whole("Sure, I can do that for you, no problem. Friday, at seven. Right?"),
            ["Sure, I can do that for you,", "no problem.", "Friday, at seven.", "Right?"]
        );
    }

    #[test]
    fn numbers_addresses_and_abbreviations_are_not_cut() {
        for text in [
            "That is 3.14 or 1,000 dollars.",
            "Dr. Smith will see you.",
            "Come at 7 p.m. on Friday.",
            "See www.example.com/a.b or write to a.b@example.com today.",
            "Bring fruit, e.g. apples.",
        ] {
            let mut segmenter = Segmenter { started: true, ..Segmenter::new() };
            let mut segments = segmenter.push(text);
            segments.extend(segmenter.finish());
            assert_eq!(segments, [text]);
        }
        assert_eq!(whole("Come at 7 p.m. We open then."), ["Come at 7 p.m.", "We open then."]);
    }

    #[test]
    fn other_scripts_are_cut_by_their_own_marks() {
        assert_eq!(whole("您好，欢迎光临。请问几位？"), ["您好，欢迎光临。", "请问几位？"]);
        assert_eq!(whole("नमस्ते। आप कैसे हैं?"), ["नमस्ते।", "आप कैसे हैं?"]);
        assert_eq!(whole("مرحبا بك؟ نعم۔"), ["مرحبا بك؟", "نعم۔"]);
    }

    #[test]
    fn text_without_marks_is_cut_before_it_grows_too_long() {
        let segments = whole(&"word ".repeat(200));
        assert!(segments.len() > 3);
        assert!(segments.iter().all(|segment| segment.chars().count() <= LONGEST + 1));
    }

    #[test]
    fn marks_alone_are_nothing_to_say() {
        assert_eq!(whole("… ** !"), Vec::<String>::new());
    }
}
