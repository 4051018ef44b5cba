//! The guide: a flow's run in a call, the tool it waits for, and what becomes of it after its end (A6).
//!
//! Decides how a run begins, goes on in another process and begins anew. What its steps say and do is carried out in
//! `answer` and `tools`. Enter at [`Guide::begin`].

use crate::flow::{self, Step, Then};
use crate::{Conversation, Event, InvocationId, Policy, Responder, ToolOutcome};

/// The flow's run, and the tool it waits for.
#[derive(Debug, Clone)]
pub(crate) struct Guide {
    pub run: flow::Run,
    pub awaiting: Option<InvocationId>,
    /// It has come to its end; the caller may still go on (A6).
    pub ended: Option<Ended>,
    told: Option<(String, serde_json::Value)>,
    pub first: FirstStep,
}

/// How a run came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// By its last words: what the caller says then is another order.
    Said,
    /// While the caller said something: what it knows still holds, and the words may correct it.
    Overtaken,
}

/// What a run does first.
#[derive(Debug, Clone, Default)]
pub(crate) enum FirstStep {
    /// The flow's first words.
    #[default]
    Begin,
    /// It goes on with a call that another process began: the open question.
    GoOn,
    /// The same, with the outcome of the tool that was waited for.
    ToolFinished(ToolOutcome),
}

impl Guide {
    pub(crate) fn new(policy: &Policy) -> Option<Self> {
        match &policy.responder {
            Responder::Flow { flow } => Some(Self {
                run: flow::Run::new(flow.clone(), &policy.scene),
                awaiting: None,
                ended: None,
                told: None,
                first: FirstStep::Begin,
            }),
            Responder::Model { .. } => None,
        }
    }

    /// A run from the beginning whose first words are not said. What the one before knew goes with it if it may be
    /// corrected, and can be: the run comes to a question.
    fn again(policy: &Policy, before: &Guide) -> Option<Self> {
        let mut guide = Self::new(policy)?;
        guide.run.begin();
        let mut knowing = guide.clone();
        knowing.run.stand_at(guide.run.node().to_owned(), &before.run.slots(), None);
        let asks = matches!(knowing.run.go_on().then, Then::Listen(_));
        Some(if before.ended == Some(Ended::Overtaken) && asks { knowing } else { guide })
    }

    /// The flow has come to its end while the caller said something.
    pub(crate) fn is_overtaken(&mut self) {
        self.ended = Some(Ended::Overtaken);
    }

    /// The first step of the call, or of its rest.
    pub(crate) fn begin(&mut self) -> Step {
        match std::mem::take(&mut self.first) {
            FirstStep::Begin => self.run.begin(),
            FirstStep::GoOn => self.run.go_on(),
            FirstStep::ToolFinished(outcome) => self.run.tool_finished(&outcome),
        }
    }
}

impl Conversation {
    /// A6: the flow had ended, but the caller goes on: it begins again, without its first words.
    pub(crate) fn start_flow_again(&mut self) {
        if let Some(before) = self.guide.take_if(|guide| guide.ended.is_some()) {
            self.guide = Guide::again(&self.policy, &before);
        }
    }

    /// Tells where the flow is, if it moved.
    pub(crate) fn tell_flow(&mut self) {
        let Some(guide) = &mut self.guide else { return };
        let at = (guide.run.node().to_owned(), guide.run.slots());
        if guide.told.as_ref() != Some(&at) {
            guide.told = Some(at.clone());
            self.tell(Event::FlowMoved { node: at.0, slots: at.1 });
        }
    }
}
