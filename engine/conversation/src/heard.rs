//! The ledger: which words of a reply were heard (H1, H2), and what stands around a position.
//!
//! Text span ↔ audio span ↔ played position. Word times come from the voice; else a word has its
//! share of the segment by its letters and is marked estimated. Enter at [`Reply::places`].

use std::time::Duration;

use crate::reply::{Reply, Segment};
use crate::words::{ends_question, ends_sentence, normal};

/// Speaking rate assumed where there is no audio yet.
const PER_LETTER: Duration = Duration::from_millis(65);
/// B4: a question that ended longer ago than this is no longer answered by a backchannel.
const QUESTION_FRESH: Duration = Duration::from_millis(2_000);
/// B4: the answer may come this much before the question's end.
const QUESTION_LEFT: Duration = Duration::from_millis(600);
/// How far alignment looks ahead for the same word in the spoken text.
const ALIGN_AHEAD: usize = 8;

/// A word of a reply in the reply's audio.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Place {
    pub text: String,
    pub start: Duration,
    pub end: Duration,
    pub estimated: bool,
    /// Which segment, by index.
    pub segment: usize,
}

impl Place {
    fn middle(&self) -> Duration {
        self.start + (self.end - self.start) / 2
    }
}

impl Reply {
    /// Every word with its place in the reply's audio.
    pub(crate) fn places(&self) -> Vec<Place> {
        let mut offset = Duration::ZERO;
        let mut places = Vec::new();
        for (index, segment) in self.segments.iter().enumerate() {
            for mut place in segment_places(segment, index) {
                place.start += offset;
                place.end += offset;
                places.push(place);
            }
            offset += expected_length(segment);
        }
        places
    }

    /// H2: how many words were heard: those whose middle was played.
    pub(crate) fn heard_count(&self, places: &[Place]) -> usize {
        if self.furthest.is_zero() {
            return 0;
        }
        places.iter().take_while(|place| place.middle() <= self.furthest).count()
    }

    /// The heard and the unheard text; text not yet cut into segments is unheard.
    pub(crate) fn heard_text(&self) -> (String, String) {
        let places = self.places();
        let heard = self.heard_count(&places);
        let mut unheard = text_of(&places[heard..]);
        if let Some(rest) = self.segmenter.clone().finish() {
            unheard = [unheard, rest].join(" ").trim().to_owned();
        }
        (text_of(&places[..heard]), unheard)
    }

    /// B3: where the word begins that is cut at the position; a word is said twice rather than lost.
    pub(crate) fn cut_word_start(&self) -> Duration {
        let position = self.position;
        let cut = self.places().into_iter().find(|place| place.start < position && position < place.end);
        cut.map_or(position, |place| place.start)
    }

    /// B4: where the question ends that a backchannel at `position` answers.
    pub(crate) fn question_at(&self, position: Duration) -> Option<Duration> {
        let places = self.places();
        let ends: Vec<&Place> = places.iter().filter(|place| ends_sentence(&place.text)).collect();
        let coming = ends.iter().find(|place| place.end > position);
        if let Some(place) =
            coming.filter(|place| ends_question(&place.text) && place.end - position <= QUESTION_LEFT)
        {
            return Some(place.end);
        }
        let last = ends.iter().rfind(|place| place.end <= position)?;
        (ends_question(&last.text) && position - last.end <= QUESTION_FRESH).then_some(last.end)
    }

    /// The last sentence that was heard to its end.
    pub(crate) fn last_sentence_heard(&self) -> String {
        let places = self.places();
        let heard = &places[..self.heard_count(&places)];
        let Some(end) = heard.iter().rposition(|place| ends_sentence(&place.text)) else {
            return text_of(heard);
        };
        let begin =
            heard[..end].iter().rposition(|place| ends_sentence(&place.text)).map_or(0, |before| before + 1);
        text_of(&heard[begin..=end])
    }

    /// The end of the segment that is being played, so that a sentence can be let finish (A9).
    pub(crate) fn segment_end(&self) -> Duration {
        let mut end = Duration::ZERO;
        for segment in &self.segments {
            end += expected_length(segment);
            if end > self.position {
                break;
            }
        }
        end
    }

    /// How long it will still be heard, as far as is known.
    pub(crate) fn remaining(&self) -> Duration {
        let total: Duration = self.segments.iter().map(expected_length).sum();
        total.saturating_sub(self.position)
    }
}

/// Words as text.
pub(crate) fn text_of(places: &[Place]) -> String {
    let words: Vec<&str> = places.iter().map(|place| place.text.as_str()).collect();
    words.join(" ")
}

fn expected_length(segment: &Segment) -> Duration {
    if segment.finished { segment.length } else { segment.length.max(PER_LETTER * weight(&segment.spoken)) }
}

fn weight(text: &str) -> u32 {
    text.split_whitespace().map(|word| word.chars().count() as u32 + 1).sum()
}

/// A word as the voice says it, within its segment.
struct Said<'a> {
    text: &'a str,
    start: Duration,
    end: Duration,
}

fn segment_places(segment: &Segment, index: usize) -> Vec<Place> {
    let shown: Vec<&str> = segment.text.split_whitespace().collect();
    let mut said = voiced(segment);
    let told = said.last().map_or(Duration::ZERO, |word| word.end);
    let is_timed = !said.is_empty() && (segment.finished || said.len() >= spoken_words(segment).count());
    if !is_timed {
        said.extend(shared_out(segment, said.len(), told));
    }
    let spans = align(&shown, &said, expected_length(segment));
    let place = |(text, (start, end)): (&&str, (Duration, Duration))| Place {
        text: (*text).to_owned(),
        start,
        end: end.max(start),
        estimated: !is_timed && end > told,
        segment: index,
    };
    shown.iter().zip(spans).map(place).collect()
}

fn voiced(segment: &Segment) -> Vec<Said<'_>> {
    let time = |at: crate::CallTime| Duration::from_micros(at.as_micros());
    let words = segment.words.iter();
    words.map(|word| Said { text: &word.text, start: time(word.start), end: time(word.end) }).collect()
}

fn spoken_words(segment: &Segment) -> impl Iterator<Item = &str> {
    segment.spoken.split_whitespace()
}

/// The words behind the `first` ones, whose times the voice has not told (yet).
fn shared_out(segment: &Segment, first: usize, from: Duration) -> Vec<Said<'_>> {
    let words: Vec<&str> = spoken_words(segment).skip(first).collect();
    let spans = share(&words, from, expected_length(segment).max(from));
    words.iter().zip(spans).map(|(word, (start, end))| Said { text: word, start, end }).collect()
}

/// Shares a span out by letters.
fn share(words: &[&str], from: Duration, to: Duration) -> Vec<(Duration, Duration)> {
    let total = words.iter().map(|word| weight(word)).sum::<u32>().max(1);
    let span = to.saturating_sub(from);
    let mut done = 0;
    let part = |done: u32| from + span * done / total;
    words
        .iter()
        .map(|word| {
            let start = part(done);
            done += weight(word);
            (start, part(done))
        })
        .collect()
}

/// Shown words beside spoken ones: "7:30" was said as "seven thirty". The same words are anchors;
/// what was said between two of them is shared out among what is shown there.
fn align(shown: &[&str], said: &[Said<'_>], length: Duration) -> Vec<(Duration, Duration)> {
    if shown.len() == said.len() {
        return said.iter().map(|word| (word.start, word.end)).collect();
    }
    let mut next = 0;
    let anchors: Vec<Option<usize>> = shown.iter().map(|word| anchor(word, said, &mut next)).collect();
    let mut spans: Vec<(Duration, Duration)> = Vec::with_capacity(shown.len());
    let mut used = 0;
    while spans.len() < shown.len() {
        let first = spans.len();
        if let Some(at) = anchors[first] {
            spans.push((said[at].start, said[at].end));
            used = at + 1;
            continue;
        }
        let gap = anchors[first..].iter().position(Option::is_some).map_or(shown.len(), |n| first + n);
        let until = anchors.get(gap).copied().flatten().unwrap_or(said.len());
        let (from, to) = match &said[used..until] {
            [] => {
                let from = spans.last().map_or(Duration::ZERO, |span| span.1);
                (from, said.get(until).map_or(length, |word| word.start).max(from))
            }
            [only] => (only.start, only.end),
            [one, .., last] => (one.start, last.end),
        };
        spans.extend(share(&shown[first..gap], from, to));
    }
    spans
}

fn anchor(word: &str, said: &[Said<'_>], next: &mut usize) -> Option<usize> {
    let word = normal(word);
    let found =
        said.iter().skip(*next).take(ALIGN_AHEAD).position(|candidate| normal(candidate.text) == word)?;
    let at = *next + found;
    *next = at + 1;
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_lasts_from_the_first_to_the_last_of_its_spoken_digits() {
        let ms = Duration::from_millis;
        let said = [("number", 0, 300), ("five", 400, 600), ("oh", 700, 900), ("please", 1_000, 1_300)]
            .map(|(text, start, end)| Said { text, start: ms(start), end: ms(end) });
        let length = ms(1_500);
        let spans = align(&["number", "50", "please"], &said, length);
        assert_eq!(spans, [(ms(0), ms(300)), (ms(400), ms(900)), (ms(1_000), ms(1_300))]);
        let spans = align(&["number", "50."], &said[..3], length);
        assert_eq!(spans[1], (ms(400), ms(900)), "the silence after it is not part of it");
    }
}
