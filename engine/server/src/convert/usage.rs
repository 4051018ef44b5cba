//! What calls used and cost: as it is stored, in the contract's words.

use parlance_proto::v1;
use serde_json::Value;

use super::duration;
use crate::prices::{Cost, CostLine, NANOS, Unit};
use crate::session::usage::Usage;

/// What a call used; none if it can't be read.
pub fn usage(stored: &Value) -> Option<v1::CallUsage> {
    let usage: Usage = serde_json::from_value(stored.clone()).ok()?;
    let micros = |us| Some(duration(std::time::Duration::from_micros(us)));
    Some(v1::CallUsage {
        audio_in_duration: micros(usage.audio_in_us),
        speech_to_text_duration: micros(usage.speech_to_text_us),
        text_to_speech_characters: usage.text_to_speech_characters,
        language_model_input_tokens: usage.language_model_input_tokens,
        language_model_output_tokens: usage.language_model_output_tokens,
        tool_runs: usage.tool_runs,
    })
}

/// What a call cost; none if it can't be read.
pub fn cost(stored: &Value) -> Option<v1::CallCost> {
    let cost: Cost = serde_json::from_value(stored.clone()).ok()?;
    let lines = cost.lines.iter().map(|line| cost_line(line, &cost.currency)).collect();
    Some(v1::CallCost { lines, total: Some(money(cost.total_nanos(), &cost.currency)) })
}

fn cost_line(line: &CostLine, currency: &str) -> v1::CostLine {
    let unit = match line.unit {
        Unit::SpeechToText => v1::CostUnit::SpeechToText,
        Unit::TextToSpeech => v1::CostUnit::TextToSpeech,
        Unit::LanguageModelInput => v1::CostUnit::LanguageModelInput,
        Unit::LanguageModelOutput => v1::CostUnit::LanguageModelOutput,
    };
    v1::CostLine {
        provider: line.provider.clone(),
        unit: unit.into(),
        quantity: line.quantity,
        amount: line.amount_nanos.map(|nanos| money(nanos, currency)),
    }
}

/// An amount that is not negative.
fn money(nanos: i64, currency: &str) -> v1::Money {
    v1::Money { currency_code: currency.to_owned(), units: nanos / NANOS, nanos: (nanos % NANOS) as i32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_whole_units_and_billionths() {
        let of = |nanos| money(nanos, "EUR");
        assert_eq!((of(1_500_000_001).units, of(1_500_000_001).nanos), (1, 500_000_001));
        assert_eq!((of(7).units, of(7).nanos), (0, 7));
    }
}
