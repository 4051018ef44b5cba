//! Who speaks first in a call with an agent: whether its greeting is waited for.
//!
//! A client that speaks by itself can't hear the difference between an agent that greets late and one that waits for
//! the caller, so it looks at the agent before it dials. Where it may not look, it takes the usual: the agent greets.

use parlance_proto::v1::{Agent, FirstSpeaker, GetAgentRequest};

use super::connect::Engine;

/// Whether the agent of this name listens until the caller speaks.
pub async fn agent_listens(engine: &Engine, name: &str) -> bool {
    let found = engine.agents().get_agent(GetAgentRequest { name: name.to_owned() }).await;
    // A key may hold calls and not see agents; that there is no such agent is told when it is called.
    found.is_ok_and(|found| listens(&found.into_inner().agent.unwrap_or_default()))
}

/// Whether an agent listens first: it is told to, or it has no first words. A flow has its own.
fn listens(agent: &Agent) -> bool {
    let handling = agent.call_handling.clone().unwrap_or_default();
    let is_silent = agent.flow.is_none() && handling.begin_message.trim().is_empty();
    is_silent || handling.first_speaker() == FirstSpeaker::Caller
}

#[cfg(test)]
mod tests {
    use parlance_proto::v1::{CallHandling, Flow};

    use super::*;

    #[test]
    fn an_agent_listens_first_if_it_is_told_to_or_has_nothing_to_say() {
        let agent = |flow: bool, words: &str, first: FirstSpeaker| {
            let begin_message = words.to_owned();
            let handling = CallHandling { begin_message, first_speaker: first.into(), ..Default::default() };
            Agent { flow: flow.then(Flow::default), call_handling: Some(handling), ..Default::default() }
        };
        assert!(listens(&Agent::default()));
        assert!(listens(&agent(false, " ", FirstSpeaker::Agent)));
        assert!(listens(&agent(false, "Hello", FirstSpeaker::Caller)));
        assert!(listens(&agent(true, "", FirstSpeaker::Caller)));
        assert!(!listens(&agent(false, "Hello", FirstSpeaker::Unspecified)));
        assert!(!listens(&agent(true, "", FirstSpeaker::Agent)), "a flow greets by itself");
    }
}
