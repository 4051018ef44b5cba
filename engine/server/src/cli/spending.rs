//! What a call used and cost, in a line each. Enter at [`lines`].

use parlance_proto::v1::{Call, CallCost, CallUsage, CostLine, CostUnit, Money};

use super::terminal::{clock, millis};

/// What is known of a call's use and cost; nothing of one that runs.
#[must_use]
pub fn lines(call: &Call) -> Vec<String> {
    call.usage.iter().map(used).chain(call.cost.iter().map(cost)).collect()
}

fn used(usage: &CallUsage) -> String {
    let mut parts = vec![
        format!("{} of audio", clock(millis(usage.audio_in_duration.as_ref()))),
        format!("{} transcribed", clock(millis(usage.speech_to_text_duration.as_ref()))),
        format!("{} characters spoken", usage.text_to_speech_characters),
    ];
    let tokens = (usage.language_model_input_tokens, usage.language_model_output_tokens);
    if tokens != (None, None) {
        let of = |tokens: Option<u64>| tokens.map_or("?".to_owned(), |tokens| tokens.to_string());
        parts.push(format!("{} + {} tokens", of(tokens.0), of(tokens.1)));
    }
    if usage.tool_runs > 0 {
        parts.push(format!("{} tool runs", usage.tool_runs));
    }
    format!("used: {}", parts.join(", "))
}

fn cost(cost: &CallCost) -> String {
    let lines: Vec<String> = cost.lines.iter().map(line).collect();
    let total = cost.total.as_ref().map(money).unwrap_or_default();
    format!("cost: {total} ({})", lines.join(", "))
}

fn line(line: &CostLine) -> String {
    let unit = match line.unit() {
        CostUnit::Unspecified => "other",
        CostUnit::SpeechToText => "hearing",
        CostUnit::TextToSpeech => "voice",
        CostUnit::LanguageModelInput => "model in",
        CostUnit::LanguageModelOutput => "model out",
    };
    let amount = line.amount.as_ref().map_or("no price".to_owned(), money);
    format!("{} {unit} {amount}", line.provider)
}

/// Without the zeros at its end, but with two places at least.
fn money(money: &Money) -> String {
    let places = format!("{:09}", money.nanos);
    let short = places.trim_end_matches('0');
    let places = &places[..short.len().max(2)];
    format!("{}.{places} {}", money.units, money.currency_code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_price_is_said_and_amounts_keep_what_counts() {
        let of = |units, nanos| Money { currency_code: "USD".into(), units, nanos };
        let line = |provider: &str, amount| CostLine {
            provider: provider.into(),
            unit: CostUnit::TextToSpeech.into(),
            quantity: 9,
            amount,
        };
        let cost = CallCost {
            lines: vec![line("a", Some(of(0, 4_300_000))), line("b", None)],
            total: Some(of(1, 0)),
        };
        let usage = CallUsage {
            text_to_speech_characters: 7,
            language_model_output_tokens: Some(3),
            ..Default::default()
        };
        let call = Call { cost: Some(cost), usage: Some(usage), ..Default::default() };
        let said = lines(&call);
        assert!(said[0].contains("7 characters spoken, ? + 3 tokens"), "{said:?}");
        assert_eq!(said[1], "cost: 1.00 USD (a voice 0.0043 USD, b voice no price)");
        assert_eq!(lines(&Call::default()), [""; 0]);
    }
}
