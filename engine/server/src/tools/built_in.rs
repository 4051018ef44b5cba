//! The tools that come with the engine: what models are told of each, and which of them need a telephone.

use parlance_conversation::{Effect, ToolOutcome};
use parlance_proto::v1::BuiltInTool;
use serde_json::{Value, json};

/// What the model is told where there is no telephone to act on.
const NO_LEG: &str = "not done: it needs a telephone leg, and this call has none";

/// What an agent can be given by naming it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuiltIn {
    /// The date and time.
    CurrentTime,
    /// An appointment.
    BookAppointment,
    /// The end of the call. The conversation itself carries it out (A6).
    EndCall,
    /// Another party for the caller.
    TransferCall,
    /// Keys of the telephone.
    PressDigits,
    /// A text message.
    SendSms,
    /// Named values of what was said.
    ExtractVariables,
}

impl BuiltIn {
    /// The one that is meant; none if none is.
    pub fn of(wire: BuiltInTool) -> Option<Self> {
        Some(match wire {
            BuiltInTool::Unspecified => return None,
            BuiltInTool::GetCurrentTime => Self::CurrentTime,
            BuiltInTool::BookAppointment => Self::BookAppointment,
            BuiltInTool::EndCall => Self::EndCall,
            BuiltInTool::TransferCall => Self::TransferCall,
            BuiltInTool::PressDigits => Self::PressDigits,
            BuiltInTool::SendSms => Self::SendSms,
            BuiltInTool::ExtractVariables => Self::ExtractVariables,
        })
    }

    /// What it is called where the agent gives it no name.
    pub fn name(self) -> &'static str {
        match self {
            Self::CurrentTime => "get_current_time",
            Self::BookAppointment => super::book_appointment::NAME,
            Self::EndCall => "end_call",
            Self::TransferCall => "transfer_call",
            Self::PressDigits => "press_digits",
            Self::SendSms => "send_sms",
            Self::ExtractVariables => "extract_variables",
        }
    }

    /// What a model is told of it where the agent says nothing.
    pub fn description(self) -> &'static str {
        match self {
            Self::CurrentTime => {
                "Gives the current date, weekday and time. Use it before you speak of today or of days from now."
            }
            Self::BookAppointment => {
                "Books an appointment or a table. Use it once the caller has agreed to all of the details. If it fails, \
                 tell the caller why and ask for another time."
            }
            Self::EndCall => {
                "Ends the call. Say goodbye in the same answer: the call ends when the caller has heard it."
            }
            Self::TransferCall => "Hands the caller over to another person or number.",
            Self::PressDigits => "Presses keys of the telephone, as in a menu.",
            Self::SendSms => "Sends the caller a text message.",
            Self::ExtractVariables => {
                "Keeps values that the caller has given. Use it as soon as one is known or corrected."
            }
        }
    }

    /// What it takes; of [`BuiltIn::ExtractVariables`] the agent says what.
    pub fn parameters(self) -> Value {
        match self {
            Self::CurrentTime => json!({
                "type": "object",
                "properties": {
                    "time_zone": {
                        "type": "string",
                        "description": "IANA name of a time zone such as Europe/Berlin. Left out: where the agent is.",
                    },
                },
                "additionalProperties": false,
            }),
            Self::BookAppointment => super::book_appointment::parameters(),
            Self::EndCall | Self::ExtractVariables => {
                json!({"type": "object", "properties": {}, "additionalProperties": false})
            }
            Self::TransferCall => one("to", "Whom to, by name or as a number with its country's code."),
            Self::PressDigits => one("digits", "The keys: 0-9, * and #, in order."),
            Self::SendSms => one("text", "The message, at most 480 letters."),
        }
    }

    /// What running it twice would do.
    pub fn effect(self) -> Effect {
        match self {
            Self::CurrentTime => Effect::None,
            Self::ExtractVariables => Effect::Idempotent,
            Self::BookAppointment
            | Self::EndCall
            | Self::TransferCall
            | Self::PressDigits
            | Self::SendSms => Effect::Effect,
        }
    }
}

/// A schema of one text that must be given.
fn one(name: &str, description: &str) -> Value {
    json!({
        "type": "object",
        "properties": {name: {"type": "string", "description": description, "minLength": 1, "maxLength": 480}},
        "required": [name],
        "additionalProperties": false,
    })
}

/// What comes of a tool that needs a telephone leg. No call has one yet.
pub fn without_leg() -> ToolOutcome {
    ToolOutcome::Failed { reason: NO_LEG.to_owned() }
}
