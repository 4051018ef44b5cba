//! The price table: what providers cost, and so what a call did.
//!
//! A price is a decimal text for a provider and a unit, kept exactly in billionths of the currency's unit. An amount
//! is price times quantity, rounded half up to a billionth. What has no price has no amount: nothing is pretended to
//! be free. Enter at [`Prices::cost`]; the setting is read by [`Prices::from_str`].

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Billionths in one unit of a currency.
pub const NANOS: i64 = 1_000_000_000;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Audio given to a transcriber, microseconds.
    SpeechToText,
    /// Characters given to a voice.
    TextToSpeech,
    /// Tokens read by a language model.
    LanguageModelInput,
    /// Tokens written by a language model.
    LanguageModelOutput,
}

/// Each unit with its name in the table and how much of it a price is for.
const UNITS: [(Unit, &str, i128); 4] = [
    (Unit::SpeechToText, "speech_to_text_minute", 60_000_000),
    (Unit::TextToSpeech, "text_to_speech_thousand_characters", 1_000),
    (Unit::LanguageModelInput, "language_model_million_input_tokens", 1_000_000),
    (Unit::LanguageModelOutput, "language_model_million_output_tokens", 1_000_000),
];

/// What providers cost.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prices {
    currency: String,
    /// In billionths, for as much of the unit as prices are for.
    prices: BTreeMap<(String, Unit), i128>,
}

/// How much of a unit was used of a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quantity {
    /// The provider's registered name.
    pub provider: String,
    /// What was counted.
    pub unit: Unit,
    /// How much.
    pub quantity: u64,
}

/// What something cost; also the form it is stored in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Three letters of ISO 4217.
    pub currency: String,
    /// One for each quantity.
    pub lines: Vec<CostLine>,
}

/// What one quantity cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CostLine {
    /// The provider's registered name.
    pub provider: String,
    /// What was counted.
    pub unit: Unit,
    /// How much.
    pub quantity: u64,
    /// Billionths of the currency's unit; none without a price.
    pub amount_nanos: Option<i64>,
}

impl Cost {
    /// The lines that have an amount, together.
    pub fn total_nanos(&self) -> i64 {
        self.lines.iter().filter_map(|line| line.amount_nanos).fold(0, i64::saturating_add)
    }
}

impl Prices {
    /// What `quantities` cost; none if nothing of them has a price.
    pub fn cost(&self, quantities: Vec<Quantity>) -> Option<Cost> {
        let lines: Vec<CostLine> = quantities.into_iter().map(|quantity| self.line(quantity)).collect();
        let any = lines.iter().any(|line| line.amount_nanos.is_some());
        any.then(|| Cost { currency: self.currency.clone(), lines })
    }

    fn line(&self, Quantity { provider, unit, quantity }: Quantity) -> CostLine {
        let key = (provider, unit);
        let amount_nanos = self.prices.get(&key).map(|price| {
            let size = UNITS.iter().find(|(known, ..)| *known == unit).map_or(1, |(.., size)| *size);
            let amount = (price * i128::from(quantity) + size / 2) / size;
            i64::try_from(amount).unwrap_or(i64::MAX)
        });
        CostLine { provider: key.0, unit, quantity, amount_nanos }
    }
}

/// `currency=USD, openai.language_model_million_input_tokens=0.15, …`, as `[prices]` of the file becomes too.
impl FromStr for Prices {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut prices = Self::default();
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let (key, value) =
                entry.split_once('=').ok_or_else(|| format!("`{entry}` must be a name, `=` and a value"))?;
            let (key, value) = (key.trim(), value.trim());
            match key.rsplit_once('.') {
                None if key == "currency" => prices.currency = currency(value)?,
                Some((provider, unit)) => {
                    let price = (provider.to_owned(), unit_named(key, unit)?);
                    prices.prices.insert(price, decimal(key, value)?);
                }
                None => {
                    return Err(format!(
                        "`{key}` must be `currency`, or a provider, a dot and one of {}",
                        names()
                    ));
                }
            }
        }
        if !prices.prices.is_empty() && prices.currency.is_empty() {
            return Err("`currency` is missing: three letters, such as USD".to_owned());
        }
        Ok(prices)
    }
}

fn names() -> String {
    UNITS.map(|(_, name, _)| name).join(", ")
}

fn currency(value: &str) -> Result<String, String> {
    let fits = value.len() == 3 && value.bytes().all(|byte| byte.is_ascii_uppercase());
    if fits { Ok(value.to_owned()) } else { Err("`currency` must be three letters, such as USD".to_owned()) }
}

fn unit_named(key: &str, name: &str) -> Result<Unit, String> {
    let known = UNITS.iter().find(|(_, known, _)| *known == name);
    known.map(|(unit, ..)| *unit).ok_or_else(|| format!("`{key}` must end with one of {}", names()))
}

/// A decimal number with up to nine places, in billionths.
fn decimal(key: &str, value: &str) -> Result<i128, String> {
    let (whole, places) = value.split_once('.').unwrap_or((value, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let fits = !whole.is_empty() && whole.len() <= 9 && places.len() <= 9 && digits(whole) && digits(places);
    let nanos = fits.then(|| format!("{whole}{places:0<9}").parse().ok()).flatten();
    nanos.ok_or_else(|| format!("`{key}` must be a price such as 0.0043, with at most nine places"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prices(text: &str) -> Prices {
        text.parse().expect("it is a price table")
    }

    fn quantity(provider: &str, unit: Unit, quantity: u64) -> Quantity {
        Quantity { provider: provider.to_owned(), unit, quantity }
    }

    #[test]
    fn an_amount_is_price_times_quantity_rounded_half_up_to_a_billionth() {
        let table = prices(
            "currency=EUR, a.speech_to_text_minute = 0.0043, a.text_to_speech_thousand_characters=0.3, \
             a.language_model_million_input_tokens=0.15, a.language_model_million_output_tokens=2",
        );
        for (unit, used, nanos) in [
            (Unit::SpeechToText, 90_000_000, 6_450_000),
            (Unit::TextToSpeech, 1, 300_000),
            (Unit::LanguageModelInput, 1, 150),
            (Unit::LanguageModelOutput, 1_000_000_000, 2_000 * NANOS),
        ] {
            let cost = table.cost(vec![quantity("a", unit, used)]).expect("it has a price");
            assert_eq!((cost.lines[0].amount_nanos, cost.total_nanos()), (Some(nanos), nanos), "{unit:?}");
        }
        let tiny = prices("currency=EUR,a.language_model_million_input_tokens=0.0005");
        for (tokens, nanos) in [(0, 0), (1, 1), (2, 1), (3, 2)] {
            let cost =
                tiny.cost(vec![quantity("a", Unit::LanguageModelInput, tokens)]).expect("it has a price");
            assert_eq!(cost.total_nanos(), nanos, "{tokens} at half a billionth");
        }
    }

    #[test]
    fn what_has_no_price_has_a_line_without_an_amount_and_alone_no_cost_at_all() {
        let table = prices("currency=USD,a.text_to_speech_thousand_characters=1");
        let free = || quantity("flite", Unit::TextToSpeech, 1_000);
        assert_eq!(table.cost(vec![free()]), None);
        assert_eq!(Prices::default().cost(vec![free()]), None);
        let cost =
            table.cost(vec![free(), quantity("a", Unit::TextToSpeech, 1_000)]).expect("one has a price");
        assert_eq!(cost.lines.iter().map(|line| line.amount_nanos).collect::<Vec<_>>(), [None, Some(NANOS)]);
        assert_eq!(cost.total_nanos(), NANOS);
    }

    #[test]
    fn a_table_that_can_not_be_read_names_the_entry() {
        assert_eq!(prices(" "), Prices::default());
        for (text, named) in [
            ("a.speech_to_text_minute=1", "currency"),
            ("currency=usd", "currency"),
            ("currency=USD,a=1", "`a`"),
            ("currency=USD,a.minute=1", "`a.minute`"),
            ("currency=USD,a.speech_to_text_minute=-1", "`a.speech_to_text_minute`"),
            ("currency=USD,a.speech_to_text_minute=1e3", "`a.speech_to_text_minute`"),
            ("currency=USD,a.speech_to_text_minute=0.0000000001", "nine places"),
            ("currency=USD,nothing", "`nothing`"),
        ] {
            let refused = text.parse::<Prices>().expect_err(text);
            assert!(refused.contains(named), "{text}: {refused}");
        }
    }
}
