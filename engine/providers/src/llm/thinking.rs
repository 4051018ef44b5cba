//! Thoughts that a model leaks into its words, taken out: `<think>…</think>` and `<thinking>…</thinking>`.
//!
//! Models served without a parser for their thoughts write them in the text. The tags come in pieces like any other
//! text, so a piece that could be the beginning of one is held until it is known. A block that never ends was no answer.
//! The end of one that never began (some servers open it in the prompt) is left out too.

/// What opens and what closes a block of thoughts.
const BLOCKS: [(&str, &str); 2] = [("<think>", "</think>"), ("<thinking>", "</thinking>")];

/// Takes text, gives it back without thoughts.
#[derive(Debug, Default)]
pub(super) struct Filter {
    held: String,
    /// What closes the block it is in.
    until: Option<&'static str>,
}

impl Filter {
    /// Takes the next piece; gives what of the text is no thought for sure.
    pub fn push(&mut self, text: &str) -> String {
        self.held.push_str(text);
        let mut out = String::new();
        while self.step(&mut out) {}
        out
    }

    /// No more comes: what was held for the beginning of a tag is text.
    pub fn end(&mut self) -> String {
        let held = std::mem::take(&mut self.held);
        if self.until.take().is_some() { String::new() } else { held }
    }

    /// Whether there is more to do with what is held.
    fn step(&mut self, out: &mut String) -> bool {
        if let Some(close) = self.until {
            return match self.held.find(close) {
                Some(at) => {
                    self.held.drain(..at + close.len());
                    self.until = None;
                    true
                }
                None => {
                    let keep = self.held.rfind('<').unwrap_or(self.held.len());
                    self.held.drain(..keep);
                    false
                }
            };
        }
        let Some(at) = self.held.find('<') else {
            out.push_str(&std::mem::take(&mut self.held));
            return false;
        };
        out.extend(self.held.drain(..at));
        if let Some((open, close)) = BLOCKS.iter().find(|(open, _)| self.held.starts_with(open)) {
            self.held.drain(..open.len());
            self.until = Some(close);
            return true;
        }
        if let Some((_, close)) = BLOCKS.iter().find(|(_, close)| self.held.starts_with(close)) {
            self.held.drain(..close.len());
            return true;
        }
        if BLOCKS.iter().any(|(open, close)| open.starts_with(&self.held) || close.starts_with(&self.held)) {
            return false;
        }
        out.extend(self.held.drain(..1));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filtered(pieces: &[&str]) -> String {
        let mut filter = Filter::default();
        let mut out: String = pieces.iter().map(|piece| filter.push(piece)).collect();
        out.push_str(&filter.end());
        out
    }

    #[test]
    fn thoughts_are_taken_out_wherever_the_text_is_cut() {
        let text =
            "<think>Is 3 < 4? </thin नहीं</think>नमस्ते, 1 < 2 <b>and</b> <thinking>no</think>t</thinking>so.";
        let bare = "नमस्ते, 1 < 2 <b>and</b> so.";
        assert_eq!(filtered(&[text]), bare);
        for (at, _) in text.char_indices() {
            assert_eq!(filtered(&[&text[..at], &text[at..]]), bare, "cut at {at}");
        }
        let letters: Vec<_> = text.chars().map(String::from).collect();
        assert_eq!(filtered(&letters.iter().map(String::as_str).collect::<Vec<_>>()), bare);
    }

    #[test]
    fn the_end_of_a_block_that_never_began_is_not_said() {
        let text = "Hello.</think> So </b>it</thinking> is.";
        for (at, _) in text.char_indices() {
            assert_eq!(filtered(&[&text[..at], &text[at..]]), "Hello. So </b>it is.", "cut at {at}");
        }
        assert_eq!(filtered(&["so </thi"]), "so </thi");
    }

    #[test]
    fn the_beginning_of_a_tag_that_never_comes_is_text_and_thoughts_that_never_end_are_none() {
        assert_eq!(filtered(&["so <thi"]), "so <thi");
        assert_eq!(filtered(&["so <think>and then"]), "so ");
    }
}
