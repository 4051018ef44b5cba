//! What `ListCalls` takes as filter and order, in the store's terms. Enter at [`filter`].

use jiff::Timestamp;
use parlance_proto::v1;
use parlance_store::PhoneNumberId;
use parlance_store::calls::{
    CallCondition, CallFilter, CallOrder, CallState, CallTime, CallType, Comparison, Direction,
};

use crate::convert::event;
use crate::rpc::filter::{self, Op, Term};
use crate::rpc::{name, order};
use crate::status::{Refusal, Violations};

const KNOWN: &str = "agent, state, direction, type, end_reason, from_number, to_number, create_time, \
                     start_time, end_time, labels.{key}, metadata.{key}";

/// Which calls a request asks for, and in which order.
pub fn filter(request: &v1::ListCallsRequest) -> Result<CallFilter, Refusal> {
    let agent_id = match request.agent.as_str() {
        "" => None,
        agent => Some(name::agent("agent", agent)?),
    };
    let state = match v1::CallState::try_from(request.state) {
        Ok(v1::CallState::Unspecified) => None,
        Ok(v1::CallState::Created) => Some(CallState::Created),
        Ok(v1::CallState::Ongoing) => Some(CallState::Ongoing),
        Ok(v1::CallState::Ended) => Some(CallState::Ended),
        Err(_) => return Err(Violations::one("state", "must be one of the named states").into()),
    };
    let conditions = filter::parse(&request.filter)?.iter().map(condition).collect::<Result<_, _>>()?;
    let order = match order::parse(&request.order_by, &["create_time", "start_time", "end_time"])? {
        Some((field, descending)) => CallOrder { by: time(field), descending },
        None => CallOrder::default(),
    };
    Ok(CallFilter { agent_id, state, conditions, order })
}

fn condition(term: &Term) -> Result<CallCondition, Violations> {
    let path = term.path();
    if let [field @ ("create_time" | "start_time" | "end_time")] = path[..] {
        return moment(term, time(field));
    }
    let read: fn(&Term) -> Result<CallCondition, Violations> = match path[..] {
        ["agent"] => agent,
        ["state"] => state,
        ["direction"] => direction,
        ["type"] => call_type,
        ["end_reason"] => end_reason,
        ["from_number"] => |term| number(term).map(CallCondition::FromNumber),
        ["to_number"] => |term| number(term).map(CallCondition::ToNumber),
        ["labels", _] => |term| Ok(CallCondition::Label(term.path[1].clone(), term.value.clone())),
        ["metadata", _] => |term| Ok(CallCondition::Metadata(term.path[1].clone(), term.value.clone())),
        _ => return Err(term.unknown(KNOWN)),
    };
    if term.op == Op::Equal { read(term) } else { Err(term.bad_op("=")) }
}

fn time(field: &str) -> CallTime {
    match field {
        "start_time" => CallTime::Start,
        "end_time" => CallTime::End,
        _ => CallTime::Create,
    }
}

fn moment(term: &Term, time: CallTime) -> Result<CallCondition, Violations> {
    let comparison = match term.op {
        Op::Equal => Comparison::Equal,
        Op::Less => Comparison::Less,
        Op::LessOrEqual => Comparison::LessOrEqual,
        Op::Greater => Comparison::Greater,
        Op::GreaterOrEqual => Comparison::GreaterOrEqual,
        Op::NotEqual | Op::Has => return Err(term.bad_op("= < <= > >=")),
    };
    let wanted = "a moment as RFC 3339 has it, such as 2026-02-01T09:30:00Z, in the years 1 to 9999";
    let at: Option<Timestamp> = term.value.parse().ok();
    // What Postgres can hold.
    let at = at.filter(|at| at.as_second() >= -62_135_596_800).ok_or_else(|| term.bad_value(wanted))?;
    Ok(CallCondition::Time(time, comparison, at))
}

fn agent(term: &Term) -> Result<CallCondition, Violations> {
    let id = term.value.strip_prefix("agents/").and_then(|id| id.parse().ok());
    id.map(CallCondition::Agent).ok_or_else(|| term.bad_value("agents/{agent}"))
}

fn state(term: &Term) -> Result<CallCondition, Violations> {
    let state = match term.word("CALL_STATE_") {
        "CREATED" => CallState::Created,
        "ONGOING" => CallState::Ongoing,
        "ENDED" => CallState::Ended,
        _ => return Err(term.bad_value("one of CREATED, ONGOING, ENDED")),
    };
    Ok(CallCondition::State(state))
}

fn direction(term: &Term) -> Result<CallCondition, Violations> {
    let direction = match term.word("CALL_DIRECTION_") {
        "INBOUND" => Direction::Inbound,
        "OUTBOUND" => Direction::Outbound,
        _ => return Err(term.bad_value("one of INBOUND, OUTBOUND")),
    };
    Ok(CallCondition::Direction(direction))
}

fn call_type(term: &Term) -> Result<CallCondition, Violations> {
    match term.word("CALL_TYPE_") {
        "WEB" => Ok(CallCondition::Type(CallType::Web)),
        _ => Err(term.bad_value("WEB")),
    }
}

fn end_reason(term: &Term) -> Result<CallCondition, Violations> {
    let value = format!("END_REASON_{}", term.word("END_REASON_"));
    let reason = v1::EndReason::from_str_name(&value).and_then(event::end_reason_of);
    let reason = reason.ok_or_else(|| term.bad_value("a value of EndReason, such as CALLER_HUNG_UP"))?;
    Ok(CallCondition::EndReason(event::word(&reason)))
}

fn number(term: &Term) -> Result<String, Violations> {
    let wanted = "a number as E.164 has it, such as +493012345678";
    PhoneNumberId::from_number(&term.value).map_err(|_| term.bad_value(wanted))?;
    Ok(term.value.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<CallFilter, Refusal> {
        filter(&v1::ListCallsRequest { filter: text.to_owned(), ..Default::default() })
    }

    #[test]
    fn every_field_is_read_with_and_without_its_prefix() {
        let at = "2026-02-01T00:00:00Z".parse().expect("it is a moment");
        let of = |id| parlance_store::AgentId::parse(id).expect("it is an id");
        for (text, condition) in [
            ("agent = agents/luigi", CallCondition::Agent(of("luigi"))),
            ("state = ENDED", CallCondition::State(CallState::Ended)),
            ("state = CALL_STATE_CREATED", CallCondition::State(CallState::Created)),
            ("direction = OUTBOUND", CallCondition::Direction(Direction::Outbound)),
            ("type = WEB", CallCondition::Type(CallType::Web)),
            ("end_reason = NO_AUDIO", CallCondition::EndReason("no_audio".into())),
            ("end_reason = END_REASON_SILENCE", CallCondition::EndReason("silence".into())),
            ("from_number = +493012345678", CallCondition::FromNumber("+493012345678".into())),
            ("to_number = \"+493012345678\"", CallCondition::ToNumber("+493012345678".into())),
            (
                "start_time < 2026-02-01T01:00:00+01:00",
                CallCondition::Time(CallTime::Start, Comparison::Less, at),
            ),
            ("labels.tier = \"pure gold\"", CallCondition::Label("tier".into(), "pure gold".into())),
            ("metadata.order = 7", CallCondition::Metadata("order".into(), "7".into())),
        ] {
            assert_eq!(read(text).expect("it is a filter").conditions, [condition], "{text}");
        }
    }

    #[test]
    fn what_is_no_condition_is_refused_by_field() {
        for text in [
            "agent = luigi",
            "state = LIVE",
            "state != ENDED",
            "direction = IN",
            "type = PHONE",
            "end_reason = BORED",
            "end_reason = UNSPECIFIED",
            "from_number = 030",
            "create_time = yesterday",
            "create_time != 2026-02-01T00:00:00Z",
            "create_time > -0001-01-01T00:00:00Z",
            "labels = gold",
            "metadata.a.b = 1",
            "duration > 5",
            "name = calls/1",
        ] {
            assert!(matches!(read(text), Err(Refusal::Invalid(_))), "{text}: {:?}", read(text));
        }
        let order = v1::ListCallsRequest { order_by: "duration".into(), ..Default::default() };
        assert!(matches!(filter(&order), Err(Refusal::Invalid(_))));
    }
}
