//! Echo (B8): the agent's own words, come back through the caller's microphone.
//!
//! Takes the times at which words were playing and the times of the caller's words; takes off what
//! repeats at least three words in order with one constant lag. Hears no audio. Enter at
//! [`Playing::without_echo`].

use std::collections::VecDeque;
use std::time::Duration;

use crate::CallTime;
use crate::caller::Token;
use crate::reply::Reply;
use crate::words::normal;

/// An echo comes at most this late; so none comes later than this after playout ended.
const LAG_MAX: Duration = Duration::from_millis(500);
/// Both clocks are estimates: the lag is constant within this.
const LAG_SPREAD: Duration = Duration::from_millis(200);
/// Fewer repeated words than this are an answer ("Saturday").
const WORDS_MIN: usize = 3;
/// Words remembered; more than can be playing within any lag.
const REMEMBERED: usize = 64;

/// The words that were playing, with their call times.
#[derive(Debug, Clone, Default)]
pub(crate) struct Playing {
    words: VecDeque<(String, CallTime)>,
    /// How many words of which reply are noted.
    noted: Option<(crate::ReplyId, usize)>,
}

impl Playing {
    /// Notes the words that have begun to play by now.
    pub(crate) fn note(&mut self, reply: &Reply, at: CallTime) {
        let noted = self.noted.filter(|(id, _)| *id == reply.id).map_or(0, |(_, count)| count);
        let places = reply.places();
        let begun = places.iter().take_while(|place| place.start < reply.position).count();
        for place in places.iter().take(begun).skip(noted) {
            let start = at - (reply.position - place.start);
            self.words.extend(normal(&place.text).into_iter().map(|word| (word, start)));
        }
        self.noted = Some((reply.id, begun.max(noted)));
        while self.words.len() > REMEMBERED {
            self.words.pop_front();
        }
    }

    /// The caller's words without those that are the agent's.
    pub(crate) fn without_echo(&self, tokens: Vec<Token>) -> Vec<Token> {
        let mut own = Vec::new();
        let mut i = 0;
        while i < tokens.len() {
            let run = (0..self.words.len()).map(|j| self.run(&tokens[i..], j)).max().unwrap_or(0);
            if run < WORDS_MIN {
                own.push(tokens[i].clone());
            }
            i += if run < WORDS_MIN { 1 } else { run };
        }
        own
    }

    /// How many of these tokens repeat the words from `from` on, with one lag.
    fn run(&self, tokens: &[Token], from: usize) -> usize {
        let first = tokens.first().and_then(|token| self.lag(token, from));
        let Some(first) = first else { return 0 };
        let same = |(i, token): (usize, &Token)| {
            self.lag(token, from + i).is_some_and(|lag| lag.abs_diff(first) <= LAG_SPREAD)
        };
        tokens.iter().enumerate().take_while(|pair| same(*pair)).count()
    }

    /// How late the token repeats the word, if it does.
    fn lag(&self, token: &Token, index: usize) -> Option<Duration> {
        let ((word, played), (start, _)) = (self.words.get(index)?, token.span?);
        let lag = start.since(*played);
        (start >= *played && lag <= LAG_MAX && normal(&token.text) == [word.clone()]).then_some(lag)
    }
}
